package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/history"
)

const (
	// clusterCredential is the value of waybill.dev/cred-type of kubeconfigs,
	// kubeconfigKey the key of the Secret, and clusterSecretPrefix the start of
	// the names of those that the API makes.
	clusterCredential   = "cluster"
	kubeconfigKey       = "kubeconfig"
	clusterSecretPrefix = "cluster-"
)

// ListClusters returns the destination clusters.
func (s *Server) ListClusters(ctx context.Context, _ ListClustersRequestObject) (ListClustersResponseObject, error) {
	var list v1alpha1.ClusterList
	if err := s.opts.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Clusters: %w", err)
	}
	uses, err := s.clusterUses(ctx)
	if err != nil {
		return nil, err
	}
	out := ListClusters200JSONResponse{Items: []model.Cluster{inCluster(uses)}}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	for i := range list.Items {
		out.Items = append(out.Items, clusterModel(&list.Items[i], uses))
	}
	return out, nil
}

// clusterUses lists the Applications by the cluster they deploy to.
func (s *Server) clusterUses(ctx context.Context) (map[string][]string, error) {
	var apps v1alpha1.ApplicationList
	if err := s.opts.Cache.List(ctx, &apps, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Applications: %w", err)
	}
	out := map[string][]string{}
	for i := range apps.Items {
		name := apps.Items[i].Spec.Destination.Cluster
		if name == "" {
			name = v1alpha1.InCluster
		}
		out[name] = append(out[name], apps.Items[i].Namespace+"/"+apps.Items[i].Name)
	}
	return out, nil
}

func inCluster(uses map[string][]string) model.Cluster {
	return model.Cluster{Name: v1alpha1.InCluster, BuiltIn: true, Ready: true, Reason: "Reachable", Message: "the cluster Waybill runs in", Applications: len(uses[v1alpha1.InCluster])}
}

func clusterModel(c *v1alpha1.Cluster, uses map[string][]string) model.Cluster {
	out := model.Cluster{
		Name: c.Name, Labels: c.Labels, Server: c.Status.Server, Version: c.Status.Version, LastHandledRequest: c.Status.LastHandledRequest,
		Applications: len(uses[c.Name]),
	}
	setMicroTime(&out.CheckedAt, c.Status.CheckedAt)
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		out.Ready, out.Reason, out.Message, out.Since = ready.Status == metav1.ConditionTrue, ready.Reason, ready.Message, ready.LastTransitionTime.UTC()
	}
	return out
}

// GetCluster returns one destination cluster.
func (s *Server) GetCluster(ctx context.Context, request GetClusterRequestObject) (GetClusterResponseObject, error) {
	uses, err := s.clusterUses(ctx)
	if err != nil {
		return nil, err
	}
	if request.Cluster == v1alpha1.InCluster {
		return GetCluster200JSONResponse(inCluster(uses)), nil
	}
	c, err := s.cluster(ctx, request.Cluster)
	if err != nil {
		return nil, err
	}
	return GetCluster200JSONResponse(clusterModel(c, uses)), nil
}

// cluster returns a Cluster of the cache; it must not be changed.
func (s *Server) cluster(ctx context.Context, name string) (*v1alpha1.Cluster, error) {
	c := &v1alpha1.Cluster{}
	err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: name}, c)
	switch {
	case name == v1alpha1.InCluster:
		return nil, refuse(model.Conflict, "%q is the cluster Waybill runs in: it is always there", name)
	case apierrors.IsNotFound(err):
		return nil, refuse(model.NotFound, "no cluster %q", name).withHint("waybill cluster list")
	case err != nil:
		return nil, fmt.Errorf("read Cluster %q: %w", name, err)
	}
	return c, nil
}

// AddCluster registers a cluster, as the person.
func (s *Server) AddCluster(ctx context.Context, request AddClusterRequestObject) (AddClusterResponseObject, error) {
	name := request.Body.Name
	if name == v1alpha1.InCluster {
		return nil, refuse(model.InvalidRequest, "%q is the cluster Waybill runs in; choose another name", name)
	}
	if err := checkKubeconfig(request.Body.Kubeconfig); err != nil {
		return nil, err
	}
	_, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	// The Cluster first: whoever may not make one, or finds its name taken, leaves
	// no credential behind. Its controller waits for the Secret.
	made := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: request.Body.Labels},
		Spec:       v1alpha1.ClusterSpec{SecretRef: v1alpha1.ClusterSecret{Name: clusterSecretPrefix + name}},
	}
	if err := c.Create(ctx, made); err != nil {
		return nil, fromKube(fmt.Sprintf("add cluster %q", name), err)
	}
	if err := s.putKubeconfig(ctx, c, made, request.Body.Kubeconfig); err != nil {
		uid := made.UID
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if undone := c.Delete(undo, made, client.Preconditions{UID: &uid}); undone != nil {
			s.log.Error("a Cluster without a kubeconfig is left behind", "cluster", name, "requestId", requestID(ctx), "error", undone)
		}
		return nil, err
	}
	s.noteCluster(ctx, made)
	return AddCluster201JSONResponse(clusterModel(made, nil)), nil
}

func (s *Server) noteCluster(ctx context.Context, c *v1alpha1.Cluster) {
	if who, err := whoIs(ctx); err == nil {
		e := history.OfDefinition("Cluster", c)
		e.Actor = who.person.User
		s.note(ctx, e)
	}
}

// checkKubeconfig says before anything is written what would be refused.
func checkKubeconfig(text string) error {
	if _, err := cluster.ReadKubeconfig([]byte(text)); err != nil { // repeats no values
		r := refuse(model.InvalidRequest, "%s", err.Error())
		r.errors = []model.FieldError{{Pointer: "/kubeconfig", Detail: err.Error()}}
		return r
	}
	return nil
}

// putKubeconfig writes the Secret of a Cluster, as the person. A Secret of that
// name that is no kubeconfig is left alone.
func (s *Server) putKubeconfig(ctx context.Context, c client.Client, of *v1alpha1.Cluster, kubeconfig string) error {
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.opts.SystemNamespace, Name: of.Spec.SecretRef.Name, Labels: map[string]string{v1alpha1.LabelCredentialType: clusterCredential},
		},
		Data: map[string][]byte{kubeconfigKey: []byte(kubeconfig)},
	}
	return keepSecret(ctx, c, wanted, fmt.Sprintf("keep the kubeconfig of cluster %q", of.Name), func(there *corev1.Secret) error {
		if there.Labels[v1alpha1.LabelCredentialType] != clusterCredential {
			return refuse(model.Conflict, "Secret %q is there already, and is no kubeconfig of a cluster", there.Name)
		}
		return nil
	})
}

// keepSecret writes a Secret with the rights of c. Of one that is there already
// mayReplace decides; its data is replaced whole.
func keepSecret(ctx context.Context, c client.Client, wanted *corev1.Secret, what string, mayReplace func(*corev1.Secret) error) error {
	there := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKeyFromObject(wanted), there)
	switch {
	case err == nil:
		if err := mayReplace(there); err != nil {
			return err
		}
		before := there.DeepCopy()
		there.Data = wanted.Data
		if err = c.Patch(ctx, there, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err == nil {
			*wanted = *there
		}
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, wanted)
	}
	if err != nil {
		return refuseSecret(what, err)
	}
	return nil
}

// refuseSecret is fromKube for an error about a Secret: what Kubernetes says of one may
// quote it.
func refuseSecret(what string, err error) *refusal {
	r := *refusalOf(fromKube(what, err))
	r.errors = nil
	if r.code == model.InvalidRequest {
		r.detail = what + ": Kubernetes refuses the Secret"
	}
	return &r
}

// TestCluster asks, as the person, for a connection.
func (s *Server) TestCluster(ctx context.Context, request TestClusterRequestObject) (TestClusterResponseObject, error) {
	value, err := s.requestCluster(ctx, request.Cluster, nil)
	return TestCluster202JSONResponse{Request: value}, err
}

// RotateCluster replaces the kubeconfig of a cluster, as the person.
func (s *Server) RotateCluster(ctx context.Context, request RotateClusterRequestObject) (RotateClusterResponseObject, error) {
	if err := checkKubeconfig(request.Body.Kubeconfig); err != nil {
		return nil, err
	}
	value, err := s.requestCluster(ctx, request.Cluster, &request.Body.Kubeconfig)
	return RotateCluster202JSONResponse{Request: value}, err
}

// requestCluster asks the Cluster controller to connect anew, with another
// kubeconfig when there is one.
func (s *Server) requestCluster(ctx context.Context, name string, kubeconfig *string) (request string, err error) {
	known, err := s.cluster(ctx, name)
	if err != nil {
		return "", err
	}
	_, c, err := s.actingAs(ctx)
	if err != nil {
		return "", err
	}
	if kubeconfig != nil {
		if err := s.putKubeconfig(ctx, c, known, *kubeconfig); err != nil {
			return "", err
		}
		s.noteCluster(ctx, known)
	}
	request = s.opts.Clock.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRequestedAt: request}}})
	if err != nil {
		return "", err
	}
	target := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return "", fromKube(fmt.Sprintf("test cluster %q", name), err)
	}
	return request, nil
}

// RemoveCluster forgets a cluster, as the person. What runs there stays.
func (s *Server) RemoveCluster(ctx context.Context, request RemoveClusterRequestObject) (RemoveClusterResponseObject, error) {
	known, err := s.cluster(ctx, request.Cluster)
	if err != nil {
		return nil, err
	}
	uses, err := s.clusterUses(ctx)
	if err != nil {
		return nil, err
	}
	if apps := uses[known.Name]; len(apps) > 0 && !request.Params.Force {
		slices.Sort(apps)
		more := ""
		if len(apps) > 1 {
			more = fmt.Sprintf(" and %d more", len(apps)-1)
		}
		return nil, refuse(model.Conflict, "Application %s%s deploys to cluster %q", apps[0], more, known.Name).
			withHint("send them elsewhere first, or use --force: what they run stays, and they are Unknown")
	}
	if err := s.deleteAs(ctx, known, ""); err != nil {
		return nil, err
	}
	_, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.opts.SystemNamespace, Name: known.Spec.SecretRef.Name}
	err = c.Get(ctx, key, secret)
	if err == nil && secret.Labels[v1alpha1.LabelCredentialType] == clusterCredential {
		err = c.Delete(ctx, secret, client.Preconditions{UID: &secret.UID})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fromKube(fmt.Sprintf("delete the kubeconfig of cluster %q", known.Name), err)
	}
	return RemoveCluster204Response{}, nil
}
