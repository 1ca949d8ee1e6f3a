import { Textarea } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useRotateCluster } from '../../api/queries';
import type { Cluster } from '../../api/types';
import { useToast } from '../../components/toast';
import stop from '../../dialogs/StopDialog.module.css';
import { ClusterDialog } from './ClusterDialog';

/** Replaces the kubeconfig of a cluster: what it may hold, and that nobody sees it again. */
export function RotateDialog({ cluster }: { cluster: Cluster }) {
  const navigate = useNavigate();
  const toast = useToast();
  const rotate = useRotateCluster(cluster.name);
  const [kubeconfig, setKubeconfig] = useState('');
  const close = () => navigate({ to: '.', search: {} });
  return (
    <ClusterDialog
      title={`Rotate the credentials of ${cluster.name}`}
      verb="Rotate"
      isReady={kubeconfig.trim() !== ''}
      isPending={rotate.isPending}
      error={rotate.error}
      onClose={close}
      onSubmit={() =>
        rotate.mutate(kubeconfig, {
          onSuccess: () => {
            close();
            toast(`${cluster.name} is being asked with the new credentials.`);
          },
        })
      }
    >
      <p className={stop.lead}>
        The old kubeconfig is replaced at once, and the cluster is asked with the new one. It may hold a server, its CA,
        and a token or a client certificate, as data. It is kept in a Secret and never shown again.{' '}
        <code>waybill cluster rotate {cluster.name} --kube-context CONTEXT</code> makes a new token by itself.
      </p>
      <Textarea
        label="Kubeconfig"
        rows={8}
        autoComplete="off"
        spellCheck={false}
        value={kubeconfig}
        onChange={(event) => setKubeconfig(event.currentTarget.value)}
      />
    </ClusterDialog>
  );
}
