import { Checkbox } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useRemoveCluster } from '../../api/queries';
import type { Cluster } from '../../api/types';
import { useToast } from '../../components/toast';
import stop from '../../dialogs/StopDialog.module.css';
import { ClusterDialog } from './ClusterDialog';

/** Forgets a cluster: what runs there stays, and who deploys there is Unknown from then on. */
export function RemoveDialog({ cluster }: { cluster: Cluster }) {
  const navigate = useNavigate();
  const toast = useToast();
  const remove = useRemoveCluster(cluster.name);
  const [isSure, setSure] = useState(false);
  const close = () => navigate({ to: '.', search: {} });
  const uses = cluster.applications;
  const isUsed = uses > 0;
  return (
    <ClusterDialog
      title={`Remove ${cluster.name}`}
      verb="Remove"
      isReady={!isUsed || isSure}
      isPending={remove.isPending}
      error={remove.error}
      onClose={close}
      onSubmit={() =>
        remove.mutate(isUsed, {
          onSuccess: () => {
            close();
            toast(`${cluster.name} is forgotten.`);
          },
        })
      }
    >
      <p className={stop.lead}>
        Waybill forgets the cluster and its kubeconfig. What runs there stays as it is, and is neither watched nor
        healed any more. The account that Waybill has there stays too: take it away with kubectl.
      </p>
      {isUsed && (
        <Checkbox
          label={`${uses === 1 ? '1 Application deploys' : `${uses} Applications deploy`} here, and will be Unknown. Remove it all the same.`}
          checked={isSure}
          onChange={(event) => setSure(event.currentTarget.checked)}
        />
      )}
    </ClusterDialog>
  );
}
