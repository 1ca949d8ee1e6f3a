/** One event of a text/event-stream. `id` is the last id seen on the stream, as the standard says. */
export interface ServerEvent {
  type: string;
  data: string;
  id: string | undefined;
}

/** Largest event that is kept, in characters; a longer one is a fault of the sender. */
const maxEvent = 16 * 1024 * 1024;

/**
 * A parser of text/event-stream (HTML standard, section 9.2.6). Feed it decoded text in any pieces; it returns
 * the events that became complete. Comments (pings) yield nothing, an event without data is dropped.
 */
export class EventParser {
  private rest = '';
  private data: string[] = [];
  private size = 0;
  private type = '';
  private id: string | undefined;

  feed(chunk: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    this.rest += chunk;
    for (;;) {
      const end = this.rest.search(/[\r\n]/);
      if (end < 0) break;
      // a carriage return at the very end may be the first half of a CRLF that is still on its way
      if (this.rest[end] === '\r' && end === this.rest.length - 1) break;
      const line = this.rest.slice(0, end);
      const width = this.rest[end] === '\r' && this.rest[end + 1] === '\n' ? 2 : 1;
      this.rest = this.rest.slice(end + width);
      this.line(line, events);
    }
    if (this.rest.length + this.size > maxEvent) throw new Error('event too large');
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.data.length > 0) {
        events.push({ type: this.type || 'message', data: this.data.join('\n'), id: this.id });
      }
      this.data = [];
      this.size = 0;
      this.type = '';
      return;
    }
    if (line.startsWith(':')) return;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') {
      this.data.push(value);
      this.size += value.length;
    } else if (field === 'event') {
      this.type = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.id = value;
    }
  }
}
