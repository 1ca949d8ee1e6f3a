import { IconAlertTriangleFilled, IconBrandDocker, IconGitBranch, IconTopologyStar3 } from '@tabler/icons-react';
import type { Subscription, Warehouse } from '../../api/types';
import { Card } from '../../components/Card';
import { sentence } from '../../components/ErrorState';
import { When } from '../../components/When';
import { useNow } from '../../lib/now';
import { absolute, instant, span } from '../../lib/time';
import classes from './SourcesPage.module.css';

export interface SubscriptionsCardProps {
  warehouse: Warehouse;
}

/** One Warehouse, a row for each repository it watches: when it was asked, what that cost and what it found. */
export function SubscriptionsCard({ warehouse }: SubscriptionsCardProps) {
  return (
    <Card title={`Warehouse ${warehouse.name}`} aside={`every ${warehouse.interval}`}>
      {!warehouse.ready && warehouse.message && <p className={classes.trouble}>{sentence(warehouse.message)}</p>}
      <ul className={classes.rows}>
        {warehouse.subscriptions.map((each) => (
          <Row key={`${each.type} ${each.repoURL} ${each.chart ?? ''}`} subscription={each} />
        ))}
      </ul>
    </Card>
  );
}

function Row({ subscription: it }: { subscription: Subscription }) {
  const Icon = { image: IconBrandDocker, git: IconGitBranch, chart: IconTopologyStar3 }[it.type];
  const newest = newestOf(it);
  const follows = [it.strategy, it.branch, it.constraint].filter(Boolean).join(' ');
  return (
    <li>
      {it.error ? (
        <IconAlertTriangleFilled size={16} color="var(--st-bad)" aria-label="failing" />
      ) : (
        <Icon size={16} stroke={1.6} aria-label={it.type} />
      )}
      <div className={classes.grow}>
        <span className={classes.strong}>{it.chart ? `${it.repoURL} ${it.chart}` : it.repoURL}</span>
        <small>
          {follows && <span>{follows}</span>}
          {it.signature && <span>signed by {it.signature}</span>}
        </small>
        {it.error && <p className={classes.trouble}>{sentence(it.error)}</p>}
        {it.refused && it.refused.length > 0 && (
          <ul className={classes.refused} aria-label={`Refused images of ${it.repoURL}`}>
            {it.refused.slice(0, shownRefused).map((image) => (
              <li key={image.tag} title={image.digest}>
                <strong className="mono">{image.tag}</strong> is refused, {image.reason}: {image.message}
              </li>
            ))}
            {it.refused.length > shownRefused && <li>and {it.refused.length - shownRefused} more</li>}
          </ul>
        )}
      </div>
      <div className={classes.side}>
        {newest ? (
          <span>
            <small className={classes.word}>newest</small> <span className="mono">{newest}</span>
          </span>
        ) : (
          <span>nothing found yet</span>
        )}
        <small>
          {it.lastPoll ? (
            <span>
              asked <When at={it.lastPoll} suffix=" ago" />, {cost(it.requests ?? 0)}
            </span>
          ) : (
            <span>not asked yet</span>
          )}
          <Next at={it.nextPoll} />
        </small>
      </div>
    </li>
  );
}

/** How many refused images are listed. */
const shownRefused = 5;

function newestOf(it: Subscription): string | undefined {
  const commit = it.commits?.[0];
  return it.candidates?.[0]?.tag ?? commit?.tag ?? commit?.id.slice(0, 7) ?? it.charts?.[0]?.version;
}

/** What the last poll cost; an answer that another Warehouse asked for costs nothing. */
function cost(requests: number): string {
  return requests === 0 ? 'shared' : `${requests} request${requests === 1 ? '' : 's'}`;
}

/** How far the next poll is. */
function Next({ at }: { at: string | undefined }) {
  const now = useNow();
  const then = instant(at);
  if (!then) return null;
  const left = (then.getTime() - now.getTime()) / 1000;
  if (left <= 0) return <span>due now</span>;
  return (
    <span>
      next in{' '}
      <time dateTime={then.toISOString()} title={absolute(then)}>
        {span(left)}
      </time>
    </span>
  );
}
