import { IconAlertTriangleFilled, IconCircleCheckFilled } from '@tabler/icons-react';
import type { Webhook, WebhookDelivery } from '../../api/types';
import { Card } from '../../components/Card';
import { CopyBlock } from '../../components/CopyBlock';
import { sentence } from '../../components/ErrorState';
import { When } from '../../components/When';
import classes from './SourcesPage.module.css';

export interface WebhookCardProps {
  webhook: Webhook;
}

/** One receiver: where it listens, and the last messages with what became of each. */
export function WebhookCard({ webhook }: WebhookCardProps) {
  const { counts } = webhook;
  const total = counts.woke + counts.ignored + counts.refused + counts.malformed + counts.limited;
  return (
    <Card title={`Webhook ${webhook.name}`} aside={webhook.sender}>
      {!webhook.ready && <p className={classes.trouble}>{sentence(webhook.message ?? 'it does not listen')}</p>}
      {(webhook.url ?? webhook.path) && (
        <div className={classes.address}>
          <CopyBlock label="Address" text={webhook.url ?? webhook.path ?? ''} />
        </div>
      )}
      {total === 0 ? (
        <p className={classes.empty}>No message since the server started.</p>
      ) : (
        <p className={classes.counts}>
          Since the server started: {counts.woke} woke something, {counts.ignored} ignored, {counts.refused} refused,{' '}
          {counts.malformed} malformed
          {counts.limited > 0 && `, ${counts.limited} too many at a time and not read`}.
        </p>
      )}
      <ul className={classes.rows} aria-label={`Deliveries of ${webhook.name}`}>
        {webhook.deliveries.slice(0, shownDeliveries).map((each) => (
          <Delivery key={`${each.at} ${each.id ?? ''}`} delivery={each} />
        ))}
      </ul>
    </Card>
  );
}

/** How many deliveries are listed; the API and `waybill get webhook` have the last 50. */
const shownDeliveries = 10;

function Delivery({ delivery }: { delivery: WebhookDelivery }) {
  const isBad = delivery.result === 'Refused' || delivery.result === 'Malformed';
  return (
    <li>
      {isBad ? (
        <IconAlertTriangleFilled size={16} color="var(--st-bad)" aria-hidden="true" />
      ) : (
        <IconCircleCheckFilled
          size={16}
          color={delivery.result === 'Woke' ? 'var(--st-ok)' : 'var(--st-unk)'}
          aria-hidden="true"
        />
      )}
      <div className={classes.grow}>
        <span className={classes.strong}>
          {delivery.result} {delivery.event && <small>{delivery.event}</small>}
        </span>
        <small>
          {delivery.woken && delivery.woken.length > 0 && <span>{delivery.woken.join(', ')}</span>}
          {delivery.repositories && delivery.repositories.length > 0 && <span>{delivery.repositories.join(', ')}</span>}
          {delivery.detail && <span>{delivery.detail}</span>}
        </small>
      </div>
      <div className={classes.side}>
        <small>
          <When at={delivery.at} suffix=" ago" />
          {delivery.id && <span className="mono">{delivery.id}</span>}
        </small>
      </div>
    </li>
  );
}
