import { describe, expect, it } from 'vitest';
import { localPath } from '../pages/login/LoginPage';
import { webAddress } from './ExternalLink';

/** What addresses are attacked with: schemes, separators, what parsers drop or fold, other spellings of a dot. */
const pieces = [
  ...[
    'http:',
    'https:',
    'HTTPS:',
    'javascript:',
    'java\tscript:',
    'data:',
    'file:',
    'blob:',
    'http',
    ':',
    '//',
    '/',
    '\\',
    '?',
    '#',
    '@',
    '.',
    '..',
  ],
  ...[
    '%2f',
    '%5c',
    '%00',
    '%0a',
    '\t',
    '\n',
    '\r',
    '\0',
    ' ',
    '\u00a0',
    '\u200b',
    '\u202e',
    '\u3002',
    '\uff0f',
    '\uff0e',
    '\u2044',
    '\ufeff',
  ],
  ...[
    'evil.example',
    'git.example.com',
    'waybill.invalid',
    'localhost',
    '127.0.0.1',
    '[::1]',
    '0x7f.1',
    'xn--',
    'me:pw',
    ':443',
    ':x',
    'a',
    'ä',
    '1',
  ],
];

/** Texts made of pieces, the same in every run. */
function* texts(count: number): Generator<string> {
  let state = 0x2f6e2b1;
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  for (let i = 0; i < count; i++) {
    yield Array.from({ length: 1 + below(7) }, () => pieces[below(pieces.length)]).join('');
  }
}

describe('addresses that came from somebody', () => {
  it('become a link only to http and https, and stay what they are when they are read again', () => {
    let links = 0;
    for (const text of texts(10_000)) {
      const safe = webAddress(text);
      if (safe === undefined) continue;
      links++;
      const url = new URL(safe);
      if (!['http:', 'https:'].includes(url.protocol) || url.username || url.password || !url.hostname) {
        expect.fail(`${JSON.stringify(text)} became ${safe}`);
      }
      if (webAddress(safe) !== safe) expect.fail(`${JSON.stringify(text)} became ${safe}, then ${webAddress(safe)}`);
    }
    expect(links).toBeGreaterThan(100);
  });

  it('lead from the sign-in to a page of this dashboard, whoever wrote the link', () => {
    const here = 'https://waybill.example';
    let taken = 0;
    for (const text of texts(10_000)) {
      const path = localPath(`/${text}`);
      if (path !== '/projects') taken++;
      for (const next of [localPath(text), path]) {
        if (!next.startsWith('/') || new URL(next, here).origin !== here) {
          expect.fail(`${JSON.stringify(text)} leads to ${new URL(next, here).href}`);
        }
      }
    }
    expect(taken).toBeGreaterThan(100);
  });
});
