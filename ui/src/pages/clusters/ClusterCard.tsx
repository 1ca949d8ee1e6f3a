import { Button } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useTestCluster } from '../../api/queries';
import type { Cluster, StatusWord } from '../../api/types';
import { Card } from '../../components/Card';
import { sentence } from '../../components/ErrorState';
import { Status } from '../../components/Status';
import { useToast } from '../../components/toast';
import { When } from '../../components/When';
import { Failure } from '../../dialogs/Note';
import classes from './ClustersPage.module.css';

export interface ClusterCardProps {
  cluster: Cluster;
  mayEdit: boolean;
  mayRemove: boolean;
}

/** What the Secret says is for a person to mend; a cluster that is silent may be well. */
function wordOf({ ready, reason }: Cluster): StatusWord {
  if (ready) return 'Healthy';
  return reason === 'ClusterUnreachable' || !reason ? 'Unknown' : 'Failed';
}

/** One cluster: whether it answers, why not and since when, and what can be done about it. */
export function ClusterCard({ cluster, mayEdit, mayRemove }: ClusterCardProps) {
  const navigate = useNavigate();
  const toast = useToast();
  const test = useTestCluster(cluster.name);
  const labels = Object.entries(cluster.labels ?? {});
  const { name, builtIn, ready, applications } = cluster;
  return (
    <Card title={name} aside={<Status status={wordOf(cluster)} pill />}>
      {cluster.message && (
        <p className={ready ? classes.hint : classes.trouble}>
          {sentence(cluster.message)}
          {!ready && cluster.since && (
            <>
              {' '}
              So for <When at={cluster.since} />.
            </>
          )}
        </p>
      )}
      <dl className={classes.facts}>
        <dt>Applications</dt>
        <dd>
          {applications === 0
            ? 'none deploys here'
            : applications === 1
              ? '1 deploys here'
              : `${applications} deploy here`}
        </dd>
        {cluster.server && (
          <>
            <dt>Address</dt>
            <dd className="mono">{cluster.server}</dd>
          </>
        )}
        {cluster.version && (
          <>
            <dt>Kubernetes</dt>
            <dd>{cluster.version}</dd>
          </>
        )}
        {cluster.checkedAt && (
          <>
            <dt>Asked last</dt>
            <dd>
              <When at={cluster.checkedAt} suffix=" ago" />
            </dd>
          </>
        )}
        {labels.length > 0 && (
          <>
            <dt>Labels</dt>
            <dd className="mono">{labels.map(([key, value]) => `${key}=${value}`).join(', ')}</dd>
          </>
        )}
      </dl>
      {test.isError && <Failure error={test.error} />}
      {!builtIn && (mayEdit || mayRemove) && (
        <div className={classes.buttons}>
          {mayEdit && (
            <>
              <Button
                size="xs"
                aria-label={`Test ${name}`}
                loading={test.isPending}
                onClick={() => test.mutate(undefined, { onSuccess: () => toast(`${name} is being asked.`) })}
              >
                Test
              </Button>
              <Button
                size="xs"
                aria-label={`Rotate the credentials of ${name}`}
                onClick={() => navigate({ to: '.', search: { rotate: name } })}
              >
                Rotate…
              </Button>
            </>
          )}
          {mayRemove && (
            <Button
              size="xs"
              aria-label={`Remove ${name}`}
              onClick={() => navigate({ to: '.', search: { remove: name } })}
            >
              Remove…
            </Button>
          )}
        </div>
      )}
    </Card>
  );
}
