package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/credentials"
)

// ClusterOptions are what a ClusterReconciler needs. Client, Clusters, Clock and
// SystemNamespace are required.
type ClusterOptions struct {
	Client client.Client
	// Clusters is where Applications find their destinations.
	Clusters *cluster.Registry
	Clock    clock.Clock
	// SystemNamespace is where the Secrets with kubeconfigs are.
	SystemNamespace string
	// Dial makes connections to clusters; nil: any address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ClusterReconciler keeps the registry of destinations equal to the Clusters, and
// says whether each can be reached. What runs in a cluster that cannot is told by
// the Applications' own watches.
type ClusterReconciler struct {
	opts ClusterOptions

	mu sync.Mutex
	// known is the kubeconfig each registered cluster was connected with.
	known map[string][]byte
}

// NewClusterReconciler returns a reconciler for Clusters.
func NewClusterReconciler(o ClusterOptions) (*ClusterReconciler, error) {
	if o.Client == nil || o.Clusters == nil || o.Clock == nil || o.SystemNamespace == "" {
		return nil, errors.New("cluster controller: Client, Clusters, Clock and SystemNamespace are required")
	}
	return &ClusterReconciler{opts: o, known: map[string][]byte{}}, nil
}

// SetupWithManager registers the controller and what wakes it.
func (r *ClusterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	ofClusters := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == r.opts.SystemNamespace && o.GetLabels()[credentials.TypeLabel] == clusterSecretType
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("cluster").
		For(&v1alpha1.Cluster{}, builder.WithPredicates(specOrRequestChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfSecret), builder.WithPredicates(ofClusters)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Cluster controller: %w", err)
	}
	return nil
}

// clusterSecretType is the value of waybill.dev/cred-type of kubeconfigs.
const clusterSecretType = "cluster"

// kubeconfigKey is the key of the Secret.
const kubeconfigKey = "kubeconfig"

// Reasons of the Ready condition of a Cluster.
const (
	reasonReachable         = "Reachable"
	reasonSecretMissing     = "SecretMissing"
	reasonKubeconfigRefused = "KubeconfigRefused"
)

const (
	// clusterRetry is when a cluster that did not answer is asked again. Its
	// Applications do not wait for that: their watches reconnect by themselves.
	clusterRetry = time.Minute
	// clusterCheck is when one that answered is asked again.
	clusterCheck   = 10 * time.Minute
	clusterTimeout = 15 * time.Second
)

func (r *ClusterReconciler) clustersOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
	var clusters v1alpha1.ClusterList
	if err := r.opts.Client.List(ctx, &clusters); err != nil {
		return nil // the cache answers, or the manager ends
	}
	var out []reconcile.Request
	for i := range clusters.Items {
		if clusters.Items[i].Spec.SecretRef.Name == o.GetName() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&clusters.Items[i])})
		}
	}
	return out
}

// Reconcile connects one Cluster and tests the connection.
func (r *ClusterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var c v1alpha1.Cluster
	if err := r.opts.Client.Get(ctx, req.NamespacedName, &c); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("read Cluster %q: %w", req.Name, err)
	}
	now := r.opts.Clock.Now()
	after := c.DeepCopy()
	after.Status.ObservedGeneration = c.Generation
	after.Status.LastHandledRequest = c.Annotations[v1alpha1.AnnotationRequestedAt]
	connected, server, reason, message := r.connect(ctx, &c)
	after.Status.Server = server
	var again time.Time
	if connected != nil {
		at := microTime(now)
		after.Status.CheckedAt = &at
		bounded, cancel := context.WithTimeout(ctx, clusterTimeout)
		version, err := connected.Version(bounded)
		cancel()
		if err != nil {
			reason, message, again = reasonClusterUnreachable, "the API server does not answer as it should: "+clusterCause(err)+". What runs there is Unknown until it does", now.Add(clusterRetry)
		} else {
			reason, message, again = reasonReachable, "the API server answers", now.Add(clusterCheck)
			after.Status.Version = version
		}
	}
	setReady(&after.Status.Conditions, c.Generation, reason == reasonReachable, reason, message)
	if err := patchStatus(ctx, r.opts.Client, &c, after); err != nil {
		return settle(ctrl.Result{}, err)
	}
	return lookAgain(now, again), nil
}

// connect registers the cluster, anew when its kubeconfig changed. It returns nil
// and why when it cannot be.
func (r *ClusterReconciler) connect(ctx context.Context, c *v1alpha1.Cluster) (connected *cluster.Cluster, server, reason, message string) {
	var secret corev1.Secret
	name := c.Spec.SecretRef.Name
	err := r.opts.Client.Get(ctx, types.NamespacedName{Namespace: r.opts.SystemNamespace, Name: name}, &secret)
	data := secret.Data[kubeconfigKey]
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return nil, "", reasonSecretMissing, fmt.Sprintf("Secret %q cannot be read", name)
	case err != nil || secret.Labels[credentials.TypeLabel] != clusterSecretType:
		r.forget(c.Name)
		return nil, "", reasonSecretMissing, fmt.Sprintf("there is no Secret %q labelled %s=%s in namespace %q", name, credentials.TypeLabel, clusterSecretType, r.opts.SystemNamespace)
	case len(data) == 0:
		r.forget(c.Name)
		return nil, "", reasonSecretMissing, fmt.Sprintf("Secret %q has no key %q", name, kubeconfigKey)
	}
	config, err := cluster.ReadKubeconfig(data)
	if err != nil {
		r.forget(c.Name)
		return nil, "", reasonKubeconfigRefused, err.Error()
	}
	r.mu.Lock()
	isSame := bytes.Equal(r.known[c.Name], data)
	r.mu.Unlock()
	if isSame {
		if known, err := r.opts.Clusters.Get(c.Name); err == nil {
			return known, config.Host, "", ""
		}
	}
	config.Dial = r.opts.Dial
	connected, err = cluster.Connect(c.Name, config, r.opts.Clock)
	if err != nil {
		r.forget(c.Name)
		return nil, config.Host, reasonKubeconfigRefused, "the certificates in the kubeconfig cannot be used"
	}
	r.mu.Lock()
	r.known[c.Name] = bytes.Clone(data)
	r.mu.Unlock()
	r.opts.Clusters.Put(connected)
	return connected, config.Host, "", ""
}

// forget takes a cluster out of the registry. Applications that deploy there show
// Unknown; deleting them does not wait for it.
func (r *ClusterReconciler) forget(name string) {
	r.mu.Lock()
	delete(r.known, name)
	r.mu.Unlock()
	r.opts.Clusters.Remove(name)
}

// clusterCause is why a cluster does not answer, without parts that change with
// every try.
func clusterCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return string(status.Status().Reason)
	}
	return shortText(err.Error(), maxClusterCause)
}

const maxClusterCause = 256
