import { describe, expect, it } from 'vitest';
import { EventParser } from './sse';

describe('EventParser', () => {
  const cases: { name: string; chunks: string[]; want: { type: string; data: string; id?: string }[] }[] = [
    {
      name: 'a whole event',
      chunks: ['id: 7\nevent: pipeline\ndata: {"a":1}\n\n'],
      want: [{ type: 'pipeline', data: '{"a":1}', id: '7' }],
    },
    {
      name: 'an event cut in the middle of a field',
      chunks: ['da', 'ta: x', '\n', '\n'],
      want: [{ type: 'message', data: 'x' }],
    },
    {
      name: 'several data lines are joined by a newline',
      chunks: ['data: a\ndata: b\n\n'],
      want: [{ type: 'message', data: 'a\nb' }],
    },
    {
      name: 'CRLF cut between its halves is one line end',
      chunks: ['data: a\r', '\ndata: b\r\n\r', '\n'],
      want: [{ type: 'message', data: 'a\nb' }],
    },
    {
      name: 'a comment is a ping and yields nothing',
      chunks: [': ping\n\n', 'data: a\n\n'],
      want: [{ type: 'message', data: 'a' }],
    },
    { name: 'an event without data is dropped', chunks: ['event: x\n\n'], want: [] },
    {
      name: 'the id stays until another one comes',
      chunks: ['id: 1\ndata: a\n\ndata: b\n\n'],
      want: [
        { type: 'message', data: 'a', id: '1' },
        { type: 'message', data: 'b', id: '1' },
      ],
    },
    {
      name: 'only one leading space belongs to the field',
      chunks: ['data:  a\n\ndata:b\n\n'],
      want: [
        { type: 'message', data: ' a' },
        { type: 'message', data: 'b' },
      ],
    },
  ];
  for (const { name, chunks, want } of cases) {
    it(name, () => {
      const parser = new EventParser();
      const got = chunks.flatMap((chunk) => parser.feed(chunk));
      expect(got.map(({ type, data, id }) => (id === undefined ? { type, data } : { type, data, id }))).toEqual(want);
    });
  }

  it('refuses an event that never ends', () => {
    const parser = new EventParser();
    expect(() => {
      for (let i = 0; i < 20; i++) parser.feed(`data: ${'x'.repeat(1024 * 1024)}\n`);
    }).toThrow('event too large');
  });
});
