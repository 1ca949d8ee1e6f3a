/** When a freeze, hold or pause of healing ends: never by itself, after a while, or at an instant somebody names. */
export type Ending = 'open' | '1h' | '4h' | 'morning' | 'monday' | 'at';

/** The endings to choose from, in the order they are offered. */
export const endings: { value: Ending; label: string }[] = [
  { value: 'open', label: 'Somebody ends it' },
  { value: '1h', label: 'In 1 hour' },
  { value: '4h', label: 'In 4 hours' },
  { value: 'morning', label: 'Tomorrow, 09:00' },
  { value: 'monday', label: 'Next Monday, 09:00' },
  { value: 'at', label: 'At a time…' },
];

/**
 * The instant of an ending, in the reader's zone; undefined when it has none, or when `at` (the text of a
 * datetime-local field) is no time to come.
 */
export function endOf(ending: Ending, at: string, now: Date): Date | undefined {
  const nine = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, 9);
  switch (ending) {
    case '1h':
      return new Date(now.getTime() + 3_600_000);
    case '4h':
      return new Date(now.getTime() + 4 * 3_600_000);
    case 'morning':
      return nine(1);
    case 'monday':
      return nine((8 - now.getDay()) % 7 || 7);
    case 'at': {
      const date = new Date(at);
      return Number.isNaN(date.getTime()) || date <= now ? undefined : date;
    }
    default:
      return undefined;
  }
}

const named = 3;

/** Names for a sentence: "test", "test and uat", "test, uat, prod and 4 more". */
export function stageNames(names: string[]): string {
  if (names.length === 0) return 'any Stage';
  const shown = names.slice(0, names.length > named + 1 ? named : names.length);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(', ')} and ${rest} more`;
  return shown.length === 1 ? shown.join() : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}
