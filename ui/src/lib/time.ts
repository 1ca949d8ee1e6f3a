const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** The distance between two instants in one short unit: "0s", "40s", "6m", "3h", "2d". Never negative. */
export function ago(then: Date, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - then.getTime()) / 1000));
  if (seconds < minute) return `${seconds}s`;
  if (seconds < hour) return `${Math.floor(seconds / minute)}m`;
  if (seconds < 2 * day) return `${Math.floor(seconds / hour)}h`;
  return `${Math.floor(seconds / day)}d`;
}

/** A length of time in at most two units: "3s", "4m 05s", "2h 10m", "3d 4h", "7d". */
export function span(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < minute) return `${s}s`;
  if (s < hour) return `${Math.floor(s / minute)}m ${String(s % minute).padStart(2, '0')}s`;
  if (s < day) return two(Math.floor(s / hour), 'h', String(Math.floor((s % hour) / minute)).padStart(2, '0'), 'm');
  return two(Math.floor(s / day), 'd', String(Math.floor((s % day) / hour)), 'h');
}

/** A span with tenths below ten seconds, for what is measured: "0.3s", "12s". */
export function exactSpan(seconds: number): string {
  const tenths = Math.round(Math.max(0, seconds) * 10) / 10;
  return tenths < 10 ? `${tenths.toFixed(1)}s` : span(seconds);
}

function two(large: number, largeUnit: string, small: string, smallUnit: string): string {
  return Number(small) === 0 ? `${large}${largeUnit}` : `${large}${largeUnit} ${small}${smallUnit}`;
}

/** Date and time in the reader's zone, for titles: "20 Nov 2026, 12:04:41". */
export function absolute(instant: Date): string {
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' }).format(instant);
}

/**
 * An instant as people say it, seen from `now`, in the reader's zone: "14:30" today, "Tue 14:30" within six
 * days, "20 Nov 14:30" otherwise.
 */
export function clock(instant: Date, now: Date): string {
  const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' }).format(instant);
  if (instant.toDateString() === now.toDateString()) return time;
  const distance = Math.abs(instant.getTime() - now.getTime()) / 1000;
  const format: Intl.DateTimeFormatOptions =
    distance < 6 * day ? { weekday: 'short' } : { day: 'numeric', month: 'short' };
  return `${new Intl.DateTimeFormat('en-GB', format).format(instant)} ${time}`;
}

/** Parses an RFC 3339 instant; undefined for absent or unreadable text. */
export function instant(text: string | undefined | null): Date | undefined {
  if (!text) return undefined;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
