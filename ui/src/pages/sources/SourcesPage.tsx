import { usePipeline, useWebhooks } from '../../api/queries';
import type { Pipeline } from '../../api/types';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import classes from './SourcesPage.module.css';
import { SubscriptionsCard } from './SubscriptionsCard';
import { WebhookCard } from './WebhookCard';

export interface SourcesPageProps {
  project: string;
}

/** Where Freight comes from: what each Warehouse watches and found, and which messages woke it. */
export function SourcesPage({ project }: SourcesPageProps) {
  const pipeline = usePipeline(project);
  return (
    <>
      <PageHeader title="Sources" project={project} underProject />
      {pipeline.isError ? (
        <div className={classes.content}>
          <ErrorState error={pipeline.error} what={`The sources of ${project}`} onRetry={() => pipeline.refetch()} />
        </div>
      ) : pipeline.data ? (
        <Loaded pipeline={pipeline.data} />
      ) : (
        <section className={`${classes.content} ${classes.column}`} aria-busy="true" aria-label="Loading the sources">
          <Skeleton height={160} />
          <Skeleton height={160} />
        </section>
      )}
    </>
  );
}

function Loaded({ pipeline }: { pipeline: Pipeline }) {
  const webhooks = useWebhooks(pipeline.project);
  return (
    <div className={`${classes.content} ${classes.column}`}>
      {pipeline.warehouses.map((warehouse) => (
        <SubscriptionsCard key={warehouse.name} warehouse={warehouse} />
      ))}
      {pipeline.warehouses.length === 0 && (
        <p className={classes.empty}>
          {pipeline.project} has no Warehouse yet. <code>waybill apply -f warehouse.yaml</code> adds one; what it finds
          appears here by itself.
        </p>
      )}
      {webhooks.isError ? (
        <ErrorState error={webhooks.error} what="The webhook receivers" onRetry={() => webhooks.refetch()} />
      ) : webhooks.data ? (
        webhooks.data.items.map((webhook) => <WebhookCard key={webhook.name} webhook={webhook} />)
      ) : (
        <section aria-busy="true" aria-label="Loading the webhook receivers">
          <Skeleton height={120} />
        </section>
      )}
      {webhooks.data?.items.length === 0 && (
        <p className={classes.empty}>
          No webhook receiver: repositories are looked at in their interval only. <code>spec.webhookReceivers</code> of
          the Project adds one, and pushes are seen within seconds.
        </p>
      )}
    </div>
  );
}
