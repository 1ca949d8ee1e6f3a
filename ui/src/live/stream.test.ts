import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveStream, type Subscriber } from './stream';

/** A server whose connections the test drives by hand. */
class FakeServer {
  readonly opened: { topics: string[]; lastEventId: string | undefined; signal: AbortSignal }[] = [];
  status = 200;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  private readonly encoder = new TextEncoder();

  readonly open = async (topics: string[], lastEventId: string | undefined, signal: AbortSignal): Promise<Response> => {
    this.opened.push({ topics, lastEventId, signal });
    if (this.status !== 200) return new Response(null, { status: this.status });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.controller = controller;
      },
    });
    return new Response(body, { status: 200 });
  };

  send(text: string): void {
    this.controller?.enqueue(this.encoder.encode(text));
  }

  hangUp(): void {
    this.controller?.close();
  }
}

function recorder(): Subscriber & { models: unknown[]; gone: number } {
  return {
    models: [] as unknown[],
    gone: 0,
    onModel(model) {
      this.models.push(model);
    },
    onGone() {
      this.gone++;
    },
  };
}

describe('LiveStream', () => {
  let server: FakeServer;
  let stream: LiveStream;
  let signedOut: number;

  beforeEach(() => {
    vi.useFakeTimers();
    server = new FakeServer();
    signedOut = 0;
    stream = new LiveStream({
      open: server.open,
      onSignedOut: () => {
        signedOut++;
      },
      now: () => Date.now(),
      random: () => 1,
    });
  });

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it('opens one stream for all topics and hands each its models', async () => {
    const a = recorder();
    const b = recorder();
    stream.subscribe('pipeline:a', '10', a);
    stream.subscribe('projects', '12', b);
    await pass(100);
    expect(server.opened).toHaveLength(1);
    expect(server.opened[0]).toMatchObject({ topics: ['pipeline:a', 'projects'], lastEventId: '10' });
    expect(stream.state().phase).toBe('live');

    server.send('id: 13\nevent: pipeline:a\ndata: {"v":1}\n\nid: 14\nevent: projects\ndata: {"v":2}\n\n');
    await pass(10);
    expect(a.models).toEqual([{ v: 1 }]);
    expect(b.models).toEqual([{ v: 2 }]);
  });

  it('goes from one page to the next with one reopening, from the new cursor', async () => {
    const leave = stream.subscribe('projects', '9', recorder());
    await pass(100);
    leave();
    stream.subscribe('pipeline:a', '10', recorder());
    await pass(100);
    expect(server.opened.map((o) => o.topics)).toEqual([['projects'], ['pipeline:a']]);
    expect(server.opened[0]?.signal.aborted).toBe(true);
    expect(server.opened[1]?.lastEventId).toBe('10');
  });

  it('resumes after a break with the last id it saw, and says meanwhile that it is not live', async () => {
    stream.subscribe('projects', '9', recorder());
    await pass(100);
    server.send('id: 41\nevent: projects\ndata: {}\n\n');
    await pass(10);
    server.hangUp();
    await pass(10);
    expect(stream.state().phase).toBe('reconnecting');
    await pass(1000);
    expect(server.opened).toHaveLength(2);
    expect(server.opened[1]?.lastEventId).toBe('41');
    expect(stream.state().phase).toBe('live');
  });

  it('waits longer after each failure, up to 15 s', async () => {
    server.status = 503;
    stream.subscribe('projects', '9', recorder());
    await pass(60_000);
    const calls = server.opened.length;
    expect(calls).toBeGreaterThan(5);
    expect(calls).toBeLessThan(12);
    await pass(15_000);
    expect(server.opened.length).toBe(calls + 1);
  });

  it('takes the models that follow a reset and resumes from there', async () => {
    const a = recorder();
    stream.subscribe('projects', '9', a);
    await pass(100);
    server.send('event: reset\nid: 3\ndata: {}\n\nid: 3\nevent: projects\ndata: {"v":1}\n\n');
    await pass(10);
    expect(a.models).toEqual([{ v: 1 }]);
    server.hangUp();
    await pass(2000);
    expect(server.opened[1]?.lastEventId).toBe('3');
  });

  it('tells the page when its topic is gone', async () => {
    const a = recorder();
    const b = recorder();
    stream.subscribe('pipeline:a', '9', a);
    stream.subscribe('projects', '9', b);
    await pass(100);
    server.send('id: 10\nevent: gone\ndata: pipeline:a\n\n');
    await pass(10);
    expect([a.gone, b.gone]).toEqual([1, 0]);
  });

  it('counts a silent connection as dead', async () => {
    stream.subscribe('projects', '9', recorder());
    await pass(100);
    server.send(': ping\n\n');
    await pass(49_000);
    expect(stream.state().phase).toBe('live');
    await pass(2000);
    expect(server.opened[0]?.signal.aborted).toBe(true);
    await pass(1000);
    expect(server.opened).toHaveLength(2);
  });

  it('lets go one minute after the tab was hidden and comes back where it was', async () => {
    stream.subscribe('projects', '9', recorder());
    await pass(100);
    server.send('id: 20\nevent: projects\ndata: {}\n\n');
    await pass(10);
    stream.visible(false);
    await pass(40_000);
    server.send(': ping\n\n');
    await pass(21_000);
    expect(stream.state().phase).toBe('paused');
    expect(server.opened[0]?.signal.aborted).toBe(true);
    stream.visible(true);
    await pass(100);
    expect(server.opened[1]?.lastEventId).toBe('20');
    expect(stream.state().phase).toBe('live');
  });

  it('stops when the session is gone', async () => {
    server.status = 401;
    stream.subscribe('projects', '9', recorder());
    await pass(60_000);
    expect(signedOut).toBe(1);
    expect(server.opened).toHaveLength(1);
    expect(stream.state().phase).toBe('idle');
  });

  it('compares ids as numbers, not as text', async () => {
    stream.subscribe('a', '9', recorder());
    stream.subscribe('b', '100', recorder());
    await pass(100);
    expect(server.opened[0]?.lastEventId).toBe('9');
  });
});
