import { useClusters, useMyPermissions } from '../../api/queries';
import { CopyBlock } from '../../components/CopyBlock';
import { ErrorState } from '../../components/ErrorState';
import { PageHeader } from '../../components/PageHeader';
import { Skeleton } from '../../components/Skeleton';
import type { ClustersSearch } from '../../lib/search';
import { ClusterCard } from './ClusterCard';
import classes from './ClustersPage.module.css';
import { RemoveDialog } from './RemoveDialog';
import { RotateDialog } from './RotateDialog';

export interface ClustersPageProps {
  search: ClustersSearch;
}

/** Where Applications deploy to: whether each cluster answers, since when, and how many use it. */
export function ClustersPage({ search }: ClustersPageProps) {
  const query = useClusters();
  const permissions = useMyPermissions().data;
  const named = (name: string | undefined) => query.data?.items.find((each) => each.name === name && !each.builtIn);
  const rotate = named(search.rotate);
  const remove = named(search.remove);
  return (
    <>
      <PageHeader title="Clusters" />
      {query.isError ? (
        <div className={classes.content}>
          <ErrorState error={query.error} what="The list of clusters" onRetry={() => query.refetch()} />
        </div>
      ) : query.data ? (
        <div className={`${classes.content} ${classes.column}`}>
          {query.data.items.map((cluster) => (
            <ClusterCard
              key={cluster.name}
              cluster={cluster}
              mayEdit={permissions?.editClusters ?? false}
              mayRemove={permissions?.deleteClusters ?? false}
            />
          ))}
          <section aria-labelledby="add-cluster">
            <h2 id="add-cluster" className={classes.add}>
              Add a cluster
            </h2>
            <p className={classes.hint}>
              From a shell whose kubeconfig reaches it. Waybill makes an account of its own there and keeps only that:
            </p>
            <CopyBlock label="Command" text="waybill cluster add west --kube-context west-admin" />
          </section>
        </div>
      ) : (
        <section className={`${classes.content} ${classes.column}`} aria-busy="true" aria-label="Loading the clusters">
          <Skeleton height={120} />
          <Skeleton height={120} />
        </section>
      )}
      {rotate && <RotateDialog cluster={rotate} />}
      {remove && <RemoveDialog cluster={remove} />}
    </>
  );
}
