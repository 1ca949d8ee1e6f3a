// Package argocd is what the steps argocd-update and argocd-wait have in common:
// which Applications of Argo CD are meant, who may touch them, and how they are
// read and written.
package argocd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	// Authorized is the annotation of an Application of Argo CD that says which
	// Stages may touch it: PROJECT:STAGE, several with commas.
	Authorized = "waybill.dev/authorized-stage"
	// defaultNamespace is where Argo CD has its Applications.
	defaultNamespace = "argocd"
	// Poll is how often an Application is looked at.
	Poll = 5 * time.Second
	// maxApplications bounds what a selector may find.
	maxApplications = 100
)

// Kind is that of an Application.
func Kind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"}
}

// App says which Applications are meant: one by its name, or some by their labels.
type App struct {
	Name      string
	Selector  *Selector
	Namespace string
}

// Selector finds Applications by labels, as selectors of Kubernetes do.
type Selector struct {
	// MatchLabels that an Application has to have.
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// MatchExpressions that have to be true of its labels.
	MatchExpressions []Expression `json:"matchExpressions,omitempty"`
}

// Expression is about one label.
type Expression struct {
	// Key of the label.
	Key string `json:"key"`
	// Operator is In, NotIn, Exists or DoesNotExist.
	Operator string `json:"operator" enum:"In,NotIn,Exists,DoesNotExist"`
	// Values for In and NotIn.
	Values []string `json:"values,omitempty"`
}

// Objects reads and writes Applications; objects.ArgoCD does.
type Objects interface {
	Get(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error)
	List(ctx context.Context, namespace string, selector labels.Selector, limit int64) (*unstructured.UnstructuredList, error)
	// Patch writes what was changed, if nobody has written meanwhile.
	Patch(ctx context.Context, before, after *unstructured.Unstructured) error
}

// Applications are those of the cluster that Waybill runs in.
type Applications struct{ Objects Objects }

// Find returns the Applications that app means, by name, all of which have to say
// that the Stage of in may touch them.
func (a *Applications) Find(ctx context.Context, in step.Input, app App) ([]*unstructured.Unstructured, error) {
	namespace := app.Namespace
	if namespace == "" {
		namespace = defaultNamespace
	}
	var found []*unstructured.Unstructured
	switch {
	case a == nil:
		return nil, step.Terminal("InvalidConfig", errors.New("Argo CD is not reached from here"))
	case (app.Name == "") == (app.Selector == nil):
		return nil, step.Terminal("InvalidConfig", errors.New("say either name or selector of an Application"))
	case app.Name != "":
		o, err := a.Objects.Get(ctx, namespace, app.Name)
		if err != nil {
			return nil, failure(namespace+"/"+app.Name, err)
		}
		found = append(found, o)
	default:
		var err error
		if found, err = a.list(ctx, namespace, app.Selector); err != nil {
			return nil, err
		}
	}
	stage := in.Promotion.Namespace + ":" + in.Promotion.Spec.Stage
	for _, o := range found {
		allowed := strings.Split(strings.ReplaceAll(o.GetAnnotations()[Authorized], " ", ""), ",")
		if !slices.Contains(allowed, stage) {
			return nil, step.Terminal("ArgoCDNotAuthorized", fmt.Errorf("the Application %q of Argo CD does not name this Stage in its annotation %s; add %q there", Name(o), Authorized, stage))
		}
	}
	return found, nil
}

func (a *Applications) list(ctx context.Context, namespace string, s *Selector) ([]*unstructured.Unstructured, error) {
	given := &metav1.LabelSelector{MatchLabels: s.MatchLabels}
	for _, e := range s.MatchExpressions {
		given.MatchExpressions = append(given.MatchExpressions, metav1.LabelSelectorRequirement{Key: e.Key, Operator: metav1.LabelSelectorOperator(e.Operator), Values: e.Values})
	}
	selector, err := metav1.LabelSelectorAsSelector(given)
	if err != nil || selector.Empty() {
		return nil, step.Terminal("InvalidConfig", errors.New("the selector of Applications is empty or cannot be read"))
	}
	list, err := a.Objects.List(ctx, namespace, selector, maxApplications)
	if err != nil {
		return nil, failure("in "+namespace, err)
	}
	switch {
	case len(list.Items) == 0:
		return nil, step.Reasoned("ArgoCDApplicationMissing", fmt.Errorf("no Application of Argo CD in %q has the labels %s", namespace, selector))
	case list.GetContinue() != "":
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("the selector finds more than %d Applications", maxApplications))
	}
	out := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}

// Write stores what was changed in after, if nobody has written meanwhile.
func (a *Applications) Write(ctx context.Context, before, after *unstructured.Unstructured) error {
	if err := a.Objects.Patch(ctx, before, after); err != nil {
		return failure(Name(before), err)
	}
	return nil
}

// Name is how an Application is called in texts.
func Name(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

// Text returns a text of an Application, "" when it has none.
func Text(o *unstructured.Unstructured, fields ...string) string {
	text, _, _ := unstructured.NestedString(o.Object, fields...)
	return text
}

// failure gives the errors of the API server their words.
func failure(name string, err error) error {
	err = fmt.Errorf("Application %s of Argo CD: %w", name, err)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return step.Reasoned("ArgoCDApplicationMissing", err)
	case apierrors.IsForbidden(err):
		return step.Terminal("ArgoCDNotAuthorized", fmt.Errorf("%w; install Waybill with server.argoCD", err))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return step.Terminal("InvalidConfig", err)
	}
	return err
}
