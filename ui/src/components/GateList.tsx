import type { Gate } from '../api/types';
import { useNow } from '../lib/now';
import { clock, instant } from '../lib/time';
import { GateIcon } from './GateIcon';
import classes from './GateList.module.css';

export interface GateListProps {
  gates: Gate[];
  label: string;
}

/** Gate verdicts, word for word as the server gives them: what, why, and what opens it. */
export function GateList({ gates, label }: GateListProps) {
  const now = useNow();
  return (
    <ul className={classes.list} aria-label={label}>
      {gates.map((gate) => {
        const opensAt = instant(gate.opensAt);
        return (
          <li key={gate.gate} data-gate={gate.gate} data-open={gate.open}>
            <span className={classes.icon}>
              <GateIcon gate={gate} size={16} />
            </span>
            <div>
              <div className={classes.gate}>
                {gate.gate}{' '}
                <span className={classes.group}>
                  {gate.open ? 'open' : gate.bypassed ? 'passed by' : gate.group === 'Entry' ? 'closed' : 'waits'}
                </span>
              </div>
              {gate.reason && <div className={classes.reason}>{gate.reason}</div>}
              {!gate.open && opensAt && (
                <div className={classes.reason}>
                  Opens by itself at <time dateTime={gate.opensAt}>{clock(opensAt, now)}</time>, your time.
                </div>
              )}
              {!gate.open && !opensAt && gate.opensBy && (
                <div className={classes.reason}>Opened by: {gate.opensBy}</div>
              )}
            </div>
          </li>
        );
      })}
    </ul>
  );
}
