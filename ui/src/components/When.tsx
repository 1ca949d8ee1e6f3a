import { useNow } from '../lib/now';
import { absolute, ago, instant } from '../lib/time';

export interface WhenProps {
  /** RFC 3339. */
  at: string | undefined | null;
  /** Follows the distance: "3h ago". */
  suffix?: string;
}

/** A relative time with the absolute one as its title. Draws nothing when there is no instant. */
export function When({ at, suffix = '' }: WhenProps) {
  const now = useNow();
  const then = instant(at);
  if (!then) return null;
  return (
    <time dateTime={then.toISOString()} title={absolute(then)}>
      {ago(then, now) + suffix}
    </time>
  );
}
