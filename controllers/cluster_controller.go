package controllers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
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

// ClusterReconciler says whether each Cluster can be reached. What runs in a cluster
// that cannot is told by the Applications' own watches.
//
// Of several replicas one writes what is found; the connections (ClusterConnections)
// are kept by each, for its API and its share of the Applications.
type ClusterReconciler struct {
	opts        ClusterOptions
	connections *ClusterConnections
}

// NewClusterReconciler returns a reconciler for Clusters.
func NewClusterReconciler(o ClusterOptions) (*ClusterReconciler, error) {
	if o.Client == nil || o.Clusters == nil || o.Clock == nil || o.SystemNamespace == "" {
		return nil, errors.New("cluster controller: Client, Clusters, Clock and SystemNamespace are required")
	}
	return &ClusterReconciler{opts: o, connections: &ClusterConnections{opts: o, known: map[string][]byte{}}}, nil
}

// SetupWithManager registers the controller with the connections, and what wakes
// both.
func (r *ClusterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.connections.setUp(mgr); err != nil {
		return err
	}
	if err := r.connections.wakes(mgr, "cluster").Complete(r); err != nil {
		return fmt.Errorf("set up the Cluster controller: %w", err)
	}
	return nil
}

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

// Reconcile connects one Cluster and tests the connection.
func (r *ClusterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var c v1alpha1.Cluster
	if err := r.opts.Client.Get(ctx, req.NamespacedName, &c); err != nil {
		if apierrors.IsNotFound(err) {
			r.connections.forget(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("read Cluster %q: %w", req.Name, err)
	}
	now := r.opts.Clock.Now()
	after := c.DeepCopy()
	after.Status.ObservedGeneration = c.Generation
	after.Status.LastHandledRequest = c.Annotations[v1alpha1.AnnotationRequestedAt]
	connected, server, reason, message := r.connections.connect(ctx, &c)
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
