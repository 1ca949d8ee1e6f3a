package controllers

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/credentials"
)

// ClusterConnections keeps the registry of destinations equal to the Clusters, in
// every replica, whoever leads: the API of each looks into clusters. It sends no
// request to them and writes nothing.
type ClusterConnections struct {
	opts ClusterOptions

	// mu is held for a whole connect: the leader has two who call it.
	mu sync.Mutex
	// known is the kubeconfig each registered cluster was connected with.
	known map[string][]byte
}

// clusterSecretType is the value of waybill.dev/cred-type of kubeconfigs.
const clusterSecretType = "cluster"

// kubeconfigKey is the key of the Secret.
const kubeconfigKey = "kubeconfig"

// setUp registers the controller of the connections.
func (r *ClusterConnections) setUp(mgr ctrl.Manager) error {
	always := false // in every replica
	err := r.wakes(mgr, "cluster-connection").WithOptions(controller.Options{NeedLeaderElection: &always}).Complete(r)
	if err != nil {
		return fmt.Errorf("set up the connections to clusters: %w", err)
	}
	return nil
}

// wakes returns a controller that is woken by Clusters and their Secrets.
func (r *ClusterConnections) wakes(mgr ctrl.Manager, name string) *builder.Builder {
	ofClusters := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == r.opts.SystemNamespace && o.GetLabels()[credentials.TypeLabel] == clusterSecretType
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		For(&v1alpha1.Cluster{}, builder.WithPredicates(specOrRequestChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfSecret), builder.WithPredicates(ofClusters))
}

func (r *ClusterConnections) clustersOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
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

// Reconcile registers one Cluster, or takes it out. What is wrong with it is the
// ClusterReconciler's to say.
func (r *ClusterConnections) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var c v1alpha1.Cluster
	switch err := r.opts.Client.Get(ctx, req.NamespacedName, &c); {
	case apierrors.IsNotFound(err):
		r.forget(req.Name)
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("read Cluster %q: %w", req.Name, err)
	default:
		r.connect(ctx, &c)
	}
	return ctrl.Result{}, nil
}

// Connect registers all Clusters there are: who takes Applications over knows their
// destinations before.
func (r *ClusterReconciler) Connect(ctx context.Context) error {
	var all v1alpha1.ClusterList
	if err := r.opts.Client.List(ctx, &all); err != nil {
		return fmt.Errorf("read Clusters: %w", err)
	}
	for i := range all.Items {
		r.connections.connect(ctx, &all.Items[i])
	}
	return nil
}

// connect registers the cluster, anew when its kubeconfig changed. It returns nil
// and why when it cannot be.
func (r *ClusterConnections) connect(ctx context.Context, c *v1alpha1.Cluster) (connected *cluster.Cluster, server, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var secret corev1.Secret
	name := c.Spec.SecretRef.Name
	err := r.opts.Client.Get(ctx, types.NamespacedName{Namespace: r.opts.SystemNamespace, Name: name}, &secret)
	data := secret.Data[kubeconfigKey]
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return nil, "", reasonSecretMissing, fmt.Sprintf("Secret %q cannot be read", name)
	case err != nil || secret.Labels[credentials.TypeLabel] != clusterSecretType:
		r.forgetLocked(c.Name)
		return nil, "", reasonSecretMissing, fmt.Sprintf("there is no Secret %q labelled %s=%s in namespace %q", name, credentials.TypeLabel, clusterSecretType, r.opts.SystemNamespace)
	case len(data) == 0:
		r.forgetLocked(c.Name)
		return nil, "", reasonSecretMissing, fmt.Sprintf("Secret %q has no key %q", name, kubeconfigKey)
	}
	config, err := cluster.ReadKubeconfig(data)
	if err != nil {
		r.forgetLocked(c.Name)
		return nil, "", reasonKubeconfigRefused, err.Error()
	}
	if bytes.Equal(r.known[c.Name], data) {
		if known, err := r.opts.Clusters.Get(c.Name); err == nil {
			return known, config.Host, "", ""
		}
	}
	config.Dial = r.opts.Dial
	connected, err = cluster.Connect(c.Name, config, r.opts.Clock)
	if err != nil {
		r.forgetLocked(c.Name)
		return nil, config.Host, reasonKubeconfigRefused, "the certificates in the kubeconfig cannot be used"
	}
	r.known[c.Name] = bytes.Clone(data)
	r.opts.Clusters.Put(connected)
	return connected, config.Host, "", ""
}

// forget takes a cluster out of the registry. Applications that deploy there show
// Unknown; deleting them does not wait for it.
func (r *ClusterConnections) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetLocked(name)
}

func (r *ClusterConnections) forgetLocked(name string) {
	delete(r.known, name)
	r.opts.Clusters.Remove(name)
}
