import type { DeployDay, Insights } from '../../api/types';
import { Card } from '../../components/Card';
import classes from './InsightsPage.module.css';
import { dayName, lines } from './measures';

export interface DaysCardProps {
  days: DeployDay[];
  total: Insights;
}

/** How much was deployed on each day, and how much of that failed. */
export function DaysCard({ days, total }: DaysCardProps) {
  if (total.deploys === 0) {
    return (
      <Card title="Deploys a day">
        <p className={classes.empty}>No promotion that was pushed is recorded in this time.</p>
      </Card>
    );
  }
  const marks = lines(Math.max(...days.map((day) => day.deploys)));
  const top = marks.at(-1) ?? 1;
  // some seven names fit, and none near the end, where "today" stands
  const every = Math.ceil(days.length / 7);
  const named = days.flatMap((day, i) => (i % every === 0 && i / days.length < 0.82 ? [{ at: day.at, i }] : []));
  return (
    <Card
      title="Deploys a day"
      aside={
        <span className={classes.signs}>
          <span className={classes.sign}>
            <span className={`${classes.swatch} ${classes.tone1}`} aria-hidden="true" /> deploys {total.deploys}
          </span>
          {total.failed > 0 && (
            <span className={classes.sign}>
              <span className={`${classes.swatch} ${classes.failed}`} aria-hidden="true" /> failed {total.failed}
            </span>
          )}
        </span>
      }
    >
      <div className={classes.chart}>
        <div className={classes.plot}>
          {marks.map((mark) => (
            <span
              key={mark}
              className={classes.line}
              style={{ bottom: `${(mark / top) * 100}%` }}
              data-mark={mark}
              aria-hidden="true"
            />
          ))}
          <ol
            className={classes.days}
            style={{ gridTemplateColumns: `repeat(${days.length}, minmax(0, 1fr))` }}
            aria-label="Days with deploys, in UTC, oldest first"
          >
            {days.map((day, i) => day.deploys > 0 && <Bar key={day.at} day={day} column={i + 1} top={top} />)}
          </ol>
        </div>
        <div className={classes.axis} aria-hidden="true">
          {named.map(({ at, i }) => (
            <span key={at} className={classes.tick} style={{ left: `${(i / days.length) * 100}%` }}>
              {dayName(at)}
            </span>
          ))}
          <span className={classes.today}>today</span>
        </div>
      </div>
    </Card>
  );
}

function Bar({ day, column, top }: { day: DeployDay; column: number; top: number }) {
  const well = day.deploys - day.failed;
  const words = `${dayName(day.at)}: ${day.deploys} deployed${day.failed > 0 ? `, ${day.failed} failed` : ''}`;
  return (
    <li
      className={classes.day}
      style={{ gridColumnStart: column, height: `${(day.deploys / top) * 100}%` }}
      title={words}
      data-deploys={day.deploys}
      data-failed={day.failed}
    >
      <span className="visuallyHidden">{words}</span>
      {day.failed > 0 && <span className={classes.failed} style={{ flexGrow: day.failed }} aria-hidden="true" />}
      {well > 0 && <span className={classes.tone1} style={{ flexGrow: well }} aria-hidden="true" />}
    </li>
  );
}
