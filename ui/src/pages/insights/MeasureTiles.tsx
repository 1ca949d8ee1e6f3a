import { IconArrowDownRight, IconArrowUpRight, IconMinus } from '@tabler/icons-react';
import type { Insights } from '../../api/types';
import classes from './InsightsPage.module.css';
import { inWords, type Measure, measures, trendOf } from './measures';

export interface MeasureTilesProps {
  now: Insights;
  /** The same length of time before; undefined when nobody knows. */
  before: Insights | undefined;
  days: number;
}

/** How much of each measure, beside the same length of time before. */
export function MeasureTiles({ now, before, days }: MeasureTilesProps) {
  return (
    <ul className={classes.tiles} aria-label="Measures">
      {measures.map((measure) => (
        <Tile key={measure.id} measure={measure} now={now} before={before} days={days} />
      ))}
    </ul>
  );
}

const directions = { up: IconArrowUpRight, down: IconArrowDownRight, same: IconMinus };

function Tile({ measure, now, before, days }: MeasureTilesProps & { measure: Measure }) {
  const amount = measure.amount(now);
  const trend = before && trendOf(measure, now, before);
  const Direction = directions[trend?.direction ?? 'same'];
  return (
    <li className={classes.tile} data-measure={measure.id}>
      <h2 className={classes.term}>{measure.title}</h2>
      {amount === undefined ? (
        <p className={classes.unknown}>{measure.unknown(now)}</p>
      ) : (
        <p className={classes.amount}>
          {measure.say(amount)} <span className={classes.unit}>{measure.unit(now)}</span>
        </p>
      )}
      <p className={classes.note}>{amount === undefined ? measure.why(now) : measure.note(now)}</p>
      <p className={classes.before}>
        {trend && (
          <span className={classes.trend} data-trend={trend.direction}>
            <Direction size={14} stroke={1.8} aria-hidden="true" /> {trend.words}
          </span>
        )}
        <span className={classes.note}>
          {days} days before: {before ? inWords(measure, before) : 'not known'}
        </span>
      </p>
    </li>
  );
}
