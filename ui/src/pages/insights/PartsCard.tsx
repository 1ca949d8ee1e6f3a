import type { DeliveryPart } from '../../api/types';
import { Card } from '../../components/Card';
import { span } from '../../lib/time';
import classes from './InsightsPage.module.css';
import { advice, partWords, percent, toneOf } from './measures';

export interface PartsCardProps {
  parts: DeliveryPart[];
}

/** Where the time of new Freight goes; the widest part is the darkest: there one can win most. */
export function PartsCard({ parts }: PartsCardProps) {
  const [first] = parts;
  if (!first) {
    return (
      <Card title="Where time goes">
        <p className={classes.empty}>
          Not known: no new Freight became Healthy in this time, or it is gone from the cluster and nobody knows when it
          was made.
        </p>
      </Card>
    );
  }
  const columns = parts.map((part) => `minmax(4px, ${part.percent}fr)`).join(' ');
  return (
    <Card title="Where time goes" aside={`${first.took.count} × new Freight`}>
      <div className={classes.parts} style={{ gridTemplateColumns: columns }} aria-hidden="true">
        {parts.map((part) => (
          <div
            key={part.name}
            className={`${classes.part} ${classes[`tone${toneOf(part, parts)}`]}`}
            title={`${partWords[part.name].title}, ${percent(part.percent)}`}
          >
            <span className={classes.partLabel}>
              {partWords[part.name].title} · {percent(part.percent)}
            </span>
          </div>
        ))}
      </div>
      <ul className={classes.legend} aria-label="Parts of the way">
        {parts.map((part) => (
          <li key={part.name} data-part={part.name}>
            <h3 className={classes.partTitle}>
              <span className={`${classes.swatch} ${classes[`tone${toneOf(part, parts)}`]}`} aria-hidden="true" />
              {partWords[part.name].title}
            </h3>
            <p>
              <strong>{percent(part.percent)}</strong>
              <span className={classes.note}>
                {' '}
                half within {span(part.took.medianSeconds)}, 9 of 10 within {span(part.took.p90Seconds)}
              </span>
            </p>
            <p className={classes.note}>{partWords[part.name].about}</p>
          </li>
        ))}
      </ul>
      <p className={classes.advice}>From when Freight was made until it was Healthy. {advice(parts)}</p>
    </Card>
  );
}
