package live

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// Event is something that happened to an object, as a controller of the cluster
// said it.
type Event struct {
	Key gitops.Key
	// IsWarning tells trouble from progress.
	IsWarning       bool
	Reason, Message string
	// By is the component that says it.
	By string
	// Count is how often it happened, up to LastAt.
	Count           int
	FirstAt, LastAt time.Time
}

const (
	// maxEvents bounds an answer, maxEventsRead what is read for it per
	// namespace.
	maxEvents     = 200
	maxEventsRead = 2000
	// maxEventText bounds one message, in bytes.
	maxEventText = 1024
)

// Events returns what happened to the objects of app and to what they own, and
// to app itself, newest first. Kubernetes forgets events after an hour.
func (i *Inspector) Events(ctx context.Context, app *v1alpha1.Application) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := i.own(ctx, app)
	if err != nil {
		return nil, err
	}
	tree, err := i.Tree(ctx, app)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	namespaces := map[string]bool{}
	for _, n := range tree.Nodes {
		if n.UID != "" {
			wanted[n.UID] = true
			namespaces[n.Key.Namespace] = n.Key.Namespace != ""
		}
	}
	c, _, err := i.clusterOf(ctx, app)
	if err != nil {
		return nil, err
	}
	for ns, is := range namespaces {
		if !is {
			continue
		}
		found, err := eventsIn(ctx, c.Dynamic, ns, "", func(e *corev1.Event) bool { return wanted[string(e.InvolvedObject.UID)] })
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b Event) int { return b.LastAt.Compare(a.LastAt) })
	return out[:min(len(out), maxEvents)], nil
}

// own returns the events that Waybill itself made about app, in its own cluster.
func (i *Inspector) own(ctx context.Context, app *v1alpha1.Application) ([]Event, error) {
	home, err := i.o.Clusters.Get(v1alpha1.InCluster)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return eventsIn(ctx, home.Dynamic, app.Namespace, "involvedObject.kind=Application,involvedObject.name="+app.Name,
		func(e *corev1.Event) bool { return e.InvolvedObject.UID == app.UID })
}

// eventsIn reads the events of a namespace that are wanted.
func eventsIn(ctx context.Context, c dynamic.Interface, namespace, fields string, wanted func(*corev1.Event) bool) ([]Event, error) {
	var out []Event
	options := metav1.ListOptions{FieldSelector: fields, Limit: maxListed}
	for read := 0; read < maxEventsRead; {
		list, err := c.Resource(corev1.SchemeGroupVersion.WithResource("events")).Namespace(namespace).List(ctx, options)
		if err != nil {
			return out, readError(corev1.SchemeGroupVersion.WithKind("Event"), err)
		}
		for k := range list.Items {
			if e, ok := eventOf(&list.Items[k]); ok && wanted(e) {
				out = append(out, toEvent(e))
			}
		}
		read += len(list.Items)
		if options.Continue = list.GetContinue(); options.Continue == "" {
			break
		}
	}
	return out, nil
}

func eventOf(u *unstructured.Unstructured) (*corev1.Event, bool) {
	e := &corev1.Event{}
	return e, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, e) == nil
}

func toEvent(e *corev1.Event) Event {
	o := e.InvolvedObject
	out := Event{
		Key:       gitops.Key{Group: o.GroupVersionKind().Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name},
		IsWarning: e.Type == corev1.EventTypeWarning, Reason: e.Reason, Message: e.Message, By: e.Source.Component, Count: int(e.Count),
		FirstAt: e.FirstTimestamp.Time, LastAt: e.LastTimestamp.Time,
	}
	if len(out.Message) > maxEventText {
		out.Message = out.Message[:maxEventText]
	}
	if out.By == "" {
		out.By = e.ReportingController
	}
	if e.Series != nil {
		out.Count, out.LastAt = int(e.Series.Count), e.Series.LastObservedTime.Time
	}
	// Events of the newer API have one time only.
	if out.FirstAt.IsZero() {
		out.FirstAt = e.EventTime.Time
	}
	if out.FirstAt.IsZero() {
		out.FirstAt = e.CreationTimestamp.Time
	}
	if out.LastAt.IsZero() {
		out.LastAt = out.FirstAt
	}
	out.Count = max(out.Count, 1)
	return out
}
