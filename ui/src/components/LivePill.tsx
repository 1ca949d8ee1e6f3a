import { IconPlugConnectedX } from '@tabler/icons-react';
import { useNow } from '../lib/now';
import { clock } from '../lib/time';
import { useLiveState } from '../live/live';
import classes from './LivePill.module.css';

/** Whether the page follows the server right now; a stale page says since when. */
export function LivePill() {
  const { phase, heardAt } = useLiveState();
  const now = useNow();
  if (phase === 'idle') return null;
  if (phase === 'connecting') {
    return (
      <output className={classes.pill} data-live="connecting">
        Connecting
      </output>
    );
  }
  if (phase === 'live') {
    return (
      <output className={classes.pill} data-live="live">
        <span className={classes.dot} aria-hidden="true" /> Live
      </output>
    );
  }
  const since = heardAt === undefined ? '' : `, showing ${clock(new Date(heardAt), now)}`;
  return (
    <output className={`${classes.pill} ${classes.stale}`} data-live={phase}>
      <IconPlugConnectedX size={14} aria-hidden="true" />
      {phase === 'paused' ? 'Paused' : 'Reconnecting'}
      {since}
    </output>
  );
}
