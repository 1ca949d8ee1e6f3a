package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	// projectFinalizer keeps a Project until its Stages are gone.
	projectFinalizer = "waybill.dev/stages"
	// annotationMadeBy marks a Namespace that Waybill made and may delete.
	annotationMadeBy = "waybill.dev/made-by-project"
	// maxReceiverError is what the CRD allows.
	maxReceiverError = 1024
	// projectManager is the field manager of what a Project owns.
	projectManager = "waybill-project"
)

// ProjectOptions are what a ProjectReconciler needs.
type ProjectOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server, for Namespaces and RoleBindings, which
	// are not cached.
	Live client.Reader
	// SystemNamespace is Waybill's own, which no Project may take.
	SystemNamespace string
	// PublicURL is where senders of webhooks reach Waybill; may be empty.
	PublicURL string
}

// ProjectReconciler keeps a Project's Namespace and RoleBindings.
type ProjectReconciler struct{ ProjectOptions }

// NewProjectReconciler returns a reconciler for Projects.
func NewProjectReconciler(o ProjectOptions) *ProjectReconciler { return &ProjectReconciler{o} }

// SetupWithManager registers the controller and what wakes it.
func (r *ProjectReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("project").
		For(&v1alpha1.Project{}, builder.WithPredicates(specOrRequestChanged())).
		Watches(&v1alpha1.Stage{}, handler.EnqueueRequestsFromMapFunc(projectOf), builder.WithPredicates(existenceOnly())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(projectOf), builder.WithPredicates(predicate.NewPredicateFuncs(isWebhookSecret))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the Project controller: %w", err)
	}
	return nil
}

func projectOf(_ context.Context, o client.Object) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Name: o.GetNamespace()}}}
}

func isWebhookSecret(o client.Object) bool {
	return o.GetLabels()[v1alpha1.LabelCredentialType] == credentials.Webhook
}

// Reconcile makes the Namespace and its RoleBindings as the Project says.
func (r *ProjectReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.Project
	if err := r.Client.Get(ctx, req.NamespacedName, &p); err != nil {
		return settle(ctrl.Result{}, err)
	}
	var stages v1alpha1.StageList
	if err := r.Client.List(ctx, &stages, client.InNamespace(p.Name)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list Stages of %q: %w", p.Name, err)
	}
	if p.DeletionTimestamp != nil {
		return settle(ctrl.Result{}, r.delete(ctx, &p, stages.Items))
	}
	if before := p.DeepCopy(); controllerutil.AddFinalizer(&p, projectFinalizer) {
		if err := r.patchFinalizers(ctx, before, &p); err != nil {
			return settle(ctrl.Result{}, fmt.Errorf("add finalizer to Project %q: %w", p.Name, err))
		}
	}
	after := p.DeepCopy()
	after.Status.ObservedGeneration = p.Generation
	after.Status.Stages = int32(len(stages.Items))
	reason, message, err := r.ensure(ctx, &p)
	if err != nil {
		return settle(ctrl.Result{}, err)
	}
	if after.Status.WebhookReceivers, err = r.receivers(ctx, &p); err != nil {
		return settle(ctrl.Result{}, err)
	}
	if problems := promotion.CheckWindows(p.Spec.Windows); reason == "" && len(problems) > 0 {
		reason, message = problems[0].Reason, problems[0].Message
	}
	setReady(&after.Status.Conditions, p.Generation, reason == "", orReady(reason), message)
	setStalled(&after.Status.Conditions, p.Generation, reason, message)
	return settle(ctrl.Result{}, patchStatus(ctx, r.Client, &p, after))
}

// receivers says where each webhook receiver listens, or why it does not.
func (r *ProjectReconciler) receivers(ctx context.Context, p *v1alpha1.Project) ([]v1alpha1.WebhookReceiverStatus, error) {
	all, err := secretstore.Receivers(ctx, r.Client, p)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the Secret already
	}
	var out []v1alpha1.WebhookReceiverStatus
	for _, one := range all {
		s := v1alpha1.WebhookReceiverStatus{Name: one.Name, Error: truncate(one.Problem, maxReceiverError)}
		if one.Receiver != nil {
			s.Path = one.Receiver.Path()
			if r.PublicURL != "" {
				s.URL = strings.TrimRight(r.PublicURL, "/") + s.Path
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func orReady(reason string) string {
	if reason == "" {
		return "Ready"
	}
	return reason
}

// ensure makes Namespace and RoleBindings. A reason means that only a person
// can help.
func (r *ProjectReconciler) ensure(ctx context.Context, p *v1alpha1.Project) (reason, message string, err error) {
	if p.Name == r.SystemNamespace {
		return "NamespaceTaken", fmt.Sprintf("Namespace %q is Waybill's own; choose another name for the Project", p.Name), nil
	}
	var ns corev1.Namespace
	err = r.Live.Get(ctx, client.ObjectKey{Name: p.Name}, &ns)
	switch {
	case apierrors.IsNotFound(err):
		ns.Name = p.Name
		ns.Labels = map[string]string{v1alpha1.LabelProject: "true"}
		ns.Annotations = map[string]string{annotationMadeBy: string(p.UID)}
		if err := r.Client.Create(ctx, &ns); apierrors.IsAlreadyExists(err) {
			// Somebody made it in between: judge that one.
			return r.ensure(ctx, p)
		} else if err != nil {
			return "", "", fmt.Errorf("create Namespace %q: %w", p.Name, err)
		}
	case err != nil:
		return "", "", fmt.Errorf("read Namespace %q: %w", p.Name, err)
	case ns.DeletionTimestamp != nil:
		return "", "", fmt.Errorf("namespace %q is still being deleted", p.Name)
	case ns.Labels[v1alpha1.LabelProject] != "true":
		return "NamespaceTaken", fmt.Sprintf("Namespace %q exists and does not belong to Waybill; to let the Project adopt it: kubectl label namespace %s %s=true", p.Name, p.Name, v1alpha1.LabelProject), nil
	}
	if err := r.bindRoles(ctx, p); err != nil {
		return "", "", err
	}
	return "", fmt.Sprintf("Namespace %q is ready", p.Name), nil
}

// bindRoles turns spec.access into one RoleBinding per role.
func (r *ProjectReconciler) bindRoles(ctx context.Context, p *v1alpha1.Project) error {
	for _, role := range []string{"Viewer", "Promoter", "Approver", "Admin"} {
		name := "waybill-" + strings.ToLower(role)
		subjects := subjectsOf(p, role)
		if len(subjects) == 0 {
			rb := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Name, Name: name}}
			var have rbacv1.RoleBinding
			err := r.Live.Get(ctx, client.ObjectKeyFromObject(rb), &have)
			if err == nil && have.Labels[v1alpha1.LabelProject] == "true" {
				err = r.Client.Delete(ctx, &have)
			}
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("remove RoleBinding %q of %q: %w", name, p.Name, err)
			}
			continue
		}
		rb := &rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Name, Name: name, Labels: map[string]string{v1alpha1.LabelProject: "true"}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   subjects,
		}
		raw, err := json.Marshal(rb)
		if err != nil {
			return fmt.Errorf("encode RoleBinding %q: %w", name, err)
		}
		if err := r.Client.Patch(ctx, rb, client.RawPatch(types.ApplyPatchType, raw), client.FieldOwner(projectManager), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply RoleBinding %q of %q: %w", name, p.Name, err)
		}
	}
	return nil
}

// subjectsOf returns who has a role, each once, in byte order. A plain name
// is a Waybill user or group; k8s:NAME is the cluster's own (01, Access).
func subjectsOf(p *v1alpha1.Project, role string) []rbacv1.Subject {
	seen := map[rbacv1.Subject]bool{}
	add := func(kind string, names []string) {
		for _, n := range names {
			seen[rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: kind, Name: v1alpha1.Principal(n)}] = true
		}
	}
	for _, a := range p.Spec.Access {
		if a.Role == role {
			add(rbacv1.UserKind, a.Users)
			add(rbacv1.GroupKind, a.Groups)
		}
	}
	out := make([]rbacv1.Subject, 0, len(seen))
	for s := range seen {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Kind+out[i].Name < out[j].Kind+out[j].Name })
	return out
}

// delete waits for the Stages, then takes back what spec.access gave and lets
// the Namespace go if Waybill made it.
func (r *ProjectReconciler) delete(ctx context.Context, p *v1alpha1.Project, stages []v1alpha1.Stage) error {
	if len(stages) == 0 {
		// The cache may not have heard of one yet.
		var live v1alpha1.StageList
		if err := r.Live.List(ctx, &live, client.InNamespace(p.Name)); err != nil {
			return fmt.Errorf("list Stages of %q: %w", p.Name, err)
		}
		stages = live.Items
	}
	if len(stages) > 0 {
		names := make([]string, len(stages))
		for i := range stages {
			names[i] = stages[i].Name
		}
		sort.Strings(names)
		after := p.DeepCopy()
		after.Status.Stages = int32(len(stages))
		setReady(&after.Status.Conditions, p.Generation, false, "Deleting",
			fmt.Sprintf("waiting for these Stages to be deleted: %s", strings.Join(names, ", ")))
		return patchStatus(ctx, r.Client, p, after)
	}
	var ns corev1.Namespace
	err := r.Live.Get(ctx, client.ObjectKey{Name: p.Name}, &ns)
	isOurs := err == nil && ns.Annotations[annotationMadeBy] == string(p.UID) && p.Annotations[v1alpha1.AnnotationKeepNamespace] != "true"
	if err == nil {
		if err := r.bindRoles(ctx, &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: p.Name}}); err != nil {
			return err
		}
	}
	if isOurs && ns.DeletionTimestamp == nil {
		err = r.Client.Delete(ctx, &ns, client.Preconditions{UID: &ns.UID})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Namespace %q: %w", p.Name, err)
	}
	if before := p.DeepCopy(); controllerutil.RemoveFinalizer(p, projectFinalizer) {
		if err := r.patchFinalizers(ctx, before, p); err != nil {
			return fmt.Errorf("remove finalizer of Project %q: %w", p.Name, err)
		}
	}
	return nil
}

// patchFinalizers writes p's finalizers and nothing else. An update would write the
// spec as we encode it, and so make a new generation of it that nobody asked for.
func (r *ProjectReconciler) patchFinalizers(ctx context.Context, before, p *v1alpha1.Project) error {
	return r.Client.Patch(ctx, p, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})) //nolint:wrapcheck // the caller says of what
}
