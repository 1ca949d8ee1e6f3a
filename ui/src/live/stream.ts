import { EventParser, type ServerEvent } from './sse';

/**
 * What the connection is doing.
 * - idle: nothing is subscribed
 * - connecting: the first answer has not come yet
 * - live: events arrive
 * - reconnecting: the connection was lost; what is shown may be old
 * - paused: the tab has been hidden for a minute and let its connection go
 */
export type LivePhase = 'idle' | 'connecting' | 'live' | 'reconnecting' | 'paused';

export interface LiveState {
  phase: LivePhase;
  /** Epoch milliseconds of the last byte from the server, undefined before the first. */
  heardAt: number | undefined;
}

export interface Subscriber {
  /** A whole new model of the topic. `id` is the event's id. */
  onModel(data: unknown, id: string | undefined): void;
  /** The topic no longer exists or may no longer be read: fetching the page says which, in words. */
  onGone(): void;
}

export interface StreamDeps {
  /** Opens the event stream; `lastEventId` is undefined for a stream from now on. */
  open(topics: string[], lastEventId: string | undefined, signal: AbortSignal): Promise<Response>;
  /** Nobody is signed in any more. */
  onSignedOut(): void;
  now(): number;
  /** 0 to 1, spreads reconnects after a server restart. */
  random(): number;
}

const firstRetry = 500; // ms
const lastRetry = 15_000; // ms
const silence = 50_000; // ms without a byte (the server pings every 15 s) until the connection counts as dead
const hiddenGrace = 60_000; // ms
const settle = 30; // ms, so that leaving one page and entering the next opens one stream, not two

interface Topic {
  cursor: string | undefined;
  subscribers: Set<Subscriber>;
}

/**
 * The one event stream of a page. Any number of topics share it; changing them reopens it at the oldest
 * cursor, so that nothing is missed and nothing is asked for twice. It reconnects by itself, with
 * Last-Event-ID, and lets go while the tab is hidden.
 */
export class LiveStream {
  private readonly topics = new Map<string, Topic>();
  private readonly listeners = new Set<() => void>();
  private current: LiveState = { phase: 'idle', heardAt: undefined };
  private running: AbortController | undefined;
  private retries = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private settleTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly deps: StreamDeps) {}

  /** The present state; the same object until it changes. */
  readonly state = (): LiveState => this.current;

  /** Calls `listener` on every change of state. Returns the function that ends it. */
  readonly listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /**
   * Delivers the models of a topic from `cursor` on (the cursor of the model that was fetched).
   * Returns the function that ends it.
   */
  subscribe(topic: string, cursor: string | undefined, subscriber: Subscriber): () => void {
    const known = this.topics.get(topic);
    if (known) {
      known.subscribers.add(subscriber);
    } else {
      this.topics.set(topic, { cursor, subscribers: new Set([subscriber]) });
      this.reopenSoon();
    }
    return () => {
      const entry = this.topics.get(topic);
      if (!entry?.subscribers.delete(subscriber) || entry.subscribers.size > 0) return;
      this.topics.delete(topic);
      this.reopenSoon();
    };
  }

  /** Tells the stream that the tab was hidden or shown. */
  visible(isVisible: boolean): void {
    clearTimeout(this.hiddenTimer);
    if (!isVisible) {
      this.hiddenTimer = setTimeout(() => {
        this.stop();
        if (this.topics.size > 0) this.set('paused');
      }, hiddenGrace);
    } else if (this.current.phase === 'paused' || this.current.phase === 'reconnecting') {
      this.retryNow();
    }
  }

  /** Reconnects at once when the connection is lost, for instance because the network came back. */
  retryNow(): void {
    if (this.current.phase === 'live' || this.topics.size === 0) return;
    this.retries = 0;
    this.open();
  }

  /** Closes the stream for good. */
  close(): void {
    clearTimeout(this.settleTimer);
    clearTimeout(this.hiddenTimer);
    this.topics.clear();
    this.stop();
    this.set('idle');
  }

  private reopenSoon(): void {
    clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => {
      this.retries = 0;
      if (this.topics.size === 0) {
        this.stop();
        this.set('idle');
      } else if (this.current.phase !== 'paused') {
        this.open();
      }
    }, settle);
  }

  private stop(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    this.running?.abort();
    this.running = undefined;
  }

  private open(): void {
    this.stop();
    const run = new AbortController();
    this.running = run;
    if (this.current.phase === 'idle' || this.current.phase === 'paused') this.set('connecting');
    this.read(run).then(
      () => this.lost(run),
      () => this.lost(run),
    );
  }

  private async read(run: AbortController): Promise<void> {
    this.watchSilence(run);
    const answer = await this.deps.open([...this.topics.keys()].sort(), this.oldestCursor(), run.signal);
    if (answer.status === 401) {
      this.close();
      this.deps.onSignedOut();
      return;
    }
    if (!answer.ok || !answer.body) {
      if (answer.status === 403 || answer.status === 404) this.gone([...this.topics.values()]);
      throw new Error(`event stream: ${answer.status}`);
    }
    this.retries = 0;
    this.heard(run);
    this.set('live');
    const parser = new EventParser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || run.signal.aborted) return;
      this.heard(run);
      for (const event of parser.feed(value)) this.deliver(event);
    }
  }

  private deliver(event: ServerEvent): void {
    if (event.type === 'reset') {
      // the gap cannot be replayed; the present models follow on this stream
      for (const topic of this.topics.values()) topic.cursor = event.id;
      return;
    }
    if (event.id !== undefined) {
      // ids are ordered over all topics: having seen this one, nothing before it is wanted again
      for (const topic of this.topics.values()) topic.cursor = later(topic.cursor, event.id);
    }
    if (event.type === 'gone') {
      this.gone([this.topics.get(event.data.trim())]);
      return;
    }
    const topic = this.topics.get(event.type);
    if (!topic) return;
    const model: unknown = JSON.parse(event.data);
    for (const subscriber of topic.subscribers) subscriber.onModel(model, event.id);
  }

  private gone(topics: (Topic | undefined)[]): void {
    for (const topic of topics) {
      for (const subscriber of topic?.subscribers ?? []) subscriber.onGone();
    }
  }

  private lost(run: AbortController): void {
    if (run !== this.running) return; // replaced or stopped on purpose
    clearTimeout(this.silenceTimer);
    this.running = undefined;
    this.set('reconnecting');
    const wait = Math.min(lastRetry, firstRetry * 2 ** this.retries) * (0.5 + this.deps.random() / 2);
    this.retries++;
    this.retryTimer = setTimeout(() => this.open(), wait);
  }

  private heard(run: AbortController): void {
    this.watchSilence(run);
    this.current = { ...this.current, heardAt: this.deps.now() };
  }

  private watchSilence(run: AbortController): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => {
      if (run !== this.running) return;
      run.abort();
      this.lost(run);
    }, silence);
  }

  private oldestCursor(): string | undefined {
    let oldest: string | undefined;
    for (const { cursor } of this.topics.values()) {
      if (cursor === undefined) continue;
      oldest = oldest === undefined ? cursor : earlier(oldest, cursor);
    }
    return oldest;
  }

  private set(phase: LivePhase): void {
    if (this.current.phase === phase) return;
    this.current = { ...this.current, phase };
    for (const listener of this.listeners) listener();
  }
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return b ?? a;
  return before(a, b) ? b : a;
}

function earlier(a: string, b: string): string {
  return before(a, b) ? a : b;
}

/** Event ids are decimal numbers of any length. */
function before(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
