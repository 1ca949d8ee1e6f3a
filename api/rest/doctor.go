package rest

import (
	"context"
	"fmt"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/internal/instance"
	"github.com/waybill-dev/waybill/promotion"
)

// Vitals are the parts of the server that the API does not work with itself, for
// who asks how they are. Each is optional: what is not given is not told of.
type Vitals struct {
	// Policies says which admission policies are not in force; isKnown is false on
	// a replica that does not lead.
	Policies interface {
		Missing() (names []string, isKnown bool)
	}
	// Elects: replicas elect a leader, by the Lease instance.ElectionLease.
	Elects bool
	// Store is that of the history, and StoreKind what it is: PostgreSQL.
	Store interface {
		Ping(ctx context.Context) error
		Notices(ctx context.Context, f history.NoticeFilter) ([]history.Notice, error)
	}
	StoreKind string
	// Outbox holds the entries that the store did not take.
	Outbox interface{ Waiting() int }
}

// When something is worth a warning.
const (
	// leaseSilence is how long a leader may not have renewed its Lease: several
	// times what replicas are given.
	leaseSilence = time.Minute
	// noticeDelay is how long a notification may wait to be sent.
	noticeDelay = 15 * time.Minute
	// endsSoon is how long before its end a kubeconfig is told of.
	endsSoon = 14 * 24 * time.Hour
)

// Doctor looks at the parts of this server.
func (s *Server) Doctor(ctx context.Context, _ DoctorRequestObject) (DoctorResponseObject, error) {
	out := Doctor200JSONResponse{Items: []model.Finding{}}
	for _, look := range []func(context.Context) []model.Finding{
		s.examineCaches, s.examineLeader, s.examineCRDs, s.examinePolicies, s.examineHistory, s.examineKubeconfigs,
	} {
		out.Items = append(out.Items, look(ctx)...)
	}
	return out, ctx.Err()
}

// finding is one finding; next is what to type, empty for nothing.
func finding(name string, state model.FindingState, next, format string, args ...any) []model.Finding {
	return []model.Finding{{Name: name, State: state, Message: fmt.Sprintf(format, args...), Next: next}}
}

func (s *Server) examineCaches(context.Context) []model.Finding {
	const name = "caches"
	switch {
	case !s.users.IsReady():
		return finding(name, model.FindingFail, "", "users and sessions have not been read yet")
	case !s.hub.isReady():
		return finding(name, model.FindingFail, "", "Waybill's objects have not been read yet")
	}
	return finding(name, model.FindingOK, "", "users, sessions and Waybill's objects are read")
}

func (s *Server) examineLeader(ctx context.Context) []model.Finding {
	const name = "leader"
	if s.opts.Vitals == nil {
		return nil
	}
	if !s.opts.Vitals.Elects {
		return finding(name, model.FindingOK, "", "this server works alone, without election")
	}
	var lease coordination.Lease
	err := s.own.Get(ctx, client.ObjectKey{Namespace: s.opts.SystemNamespace, Name: instance.ElectionLease}, &lease)
	if err != nil && !apierrors.IsNotFound(err) {
		return finding(name, model.FindingUnknown, "waybilld install", "the Lease %q cannot be read: %v", instance.ElectionLease, err)
	}
	next := fmt.Sprintf("kubectl -n %s get pods", s.opts.SystemNamespace)
	holder := lease.Spec.HolderIdentity
	if holder == nil || *holder == "" || lease.Spec.RenewTime == nil {
		return finding(name, model.FindingFail, next, "no replica leads: nothing is promoted or synced")
	}
	renewed := lease.Spec.RenewTime.UTC()
	if s.opts.Clock.Since(renewed) > leaseSilence {
		return finding(name, model.FindingFail, next, "%s led and has said nothing since %s: nothing is promoted or synced", *holder, renewed.Format(time.RFC3339))
	}
	return finding(name, model.FindingOK, "", "%s leads", *holder)
}

func (s *Server) examineCRDs(ctx context.Context) []model.Finding {
	const name = "CRDs"
	lacking, err := install.Outdated(ctx, s.own)
	switch {
	case err != nil:
		return finding(name, model.FindingUnknown, "waybilld install", "they cannot be read: %v", err)
	case len(lacking) > 0:
		return finding(name, model.FindingFail, "kubectl apply --server-side --force-conflicts -f charts/waybill/crds   # of this version; Helm does not upgrade CRDs",
			"older than the server: the cluster drops %s", strings.Join(lacking, ", "))
	}
	return finding(name, model.FindingOK, "", "those of this version")
}

func (s *Server) examinePolicies(ctx context.Context) []model.Finding {
	const name = "policies"
	if s.opts.Vitals == nil || s.opts.Vitals.Policies == nil {
		return nil
	}
	const next = "waybilld install   # puts them and the right to keep them in place"
	missing, isKnown := s.opts.Vitals.Policies.Missing()
	switch {
	case isKnown && len(missing) > 0:
		return finding(name, model.FindingFail, next, "not in force: %s; nothing is promoted", strings.Join(missing, ", "))
	case isKnown:
		return finding(name, model.FindingOK, "", "all admission policies are in force")
	}
	// The leader keeps them, and says so at the Stages.
	var stages v1alpha1.StageList
	if err := s.opts.Cache.List(ctx, &stages, client.UnsafeDisableDeepCopy); err != nil {
		return finding(name, model.FindingUnknown, "", "this replica does not lead, and the Stages cannot be read")
	}
	for i := range stages.Items {
		ready := meta.FindStatusCondition(stages.Items[i].Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Reason == promotion.ReasonPolicyMissing {
			return finding(name, model.FindingFail, next, "%s", ready.Message)
		}
	}
	return finding(name, model.FindingOK, "", "no Stage waits for one (another replica leads and keeps them)")
}

func (s *Server) examineHistory(ctx context.Context) []model.Finding {
	v := s.opts.Vitals
	if v == nil || v.Store == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	var out []model.Finding
	err := v.Store.Ping(limited)
	if err != nil { // an error of a store holds no password
		out = finding("history", model.FindingFail, "", "%s does not answer: %v; promotions go on and are written later", v.StoreKind, err)
	} else {
		out = finding("history", model.FindingOK, "", "%s answers", v.StoreKind)
	}
	if v.Outbox != nil {
		out = append(out, outboxFinding(v.Outbox.Waiting(), err)...)
	}
	if err != nil {
		return append(out, finding("notifications", model.FindingUnknown, "", "what waits to be sent is in the history's store")...)
	}
	waiting, err := v.Store.Notices(limited, history.NoticeFilter{IsWaiting: true})
	if err != nil {
		return append(out, finding("notifications", model.FindingUnknown, "", "what waits to be sent cannot be read: %v", err)...)
	}
	return append(out, noticesFinding(waiting, s.opts.Clock.Now())...)
}

// outboxFinding says how many entries of the audit trail wait; store is why the
// history's store does not take them.
func outboxFinding(waiting int, store error) []model.Finding {
	switch {
	case waiting == 0:
		return finding("audit outbox", model.FindingOK, "", "nothing waits to be written")
	case store == nil:
		return finding("audit outbox", model.FindingWarn, "", "entries wait to be written, though the store answers: %d; they are tried every few seconds, the server's log says why", waiting)
	default:
		return finding("audit outbox", model.FindingWarn, "", "entries wait for the store: %d; they are in a file, and none is lost", waiting)
	}
}

// noticesFinding says whether notifications are stuck, and in which Projects.
func noticesFinding(waiting []history.Notice, now time.Time) []model.Finding {
	stuck := map[string]bool{}
	var names []string
	count := 0
	for i := range waiting {
		n := &waiting[i]
		if now.Sub(n.At) < noticeDelay {
			continue
		}
		count++
		if key := n.Project + "/" + n.Notification; !stuck[key] {
			stuck[key] = true
			names = append(names, key)
		}
	}
	if count == 0 {
		return finding("notifications", model.FindingOK, "", "none waits for long")
	}
	first, rest, _ := strings.Cut(names[0], "/")
	return finding("notifications", model.FindingWarn, "waybill notify test "+rest+" -p "+first,
		"not sent for %d minutes or more: %d, of %s", int(noticeDelay.Minutes()), count, strings.Join(names[:min(len(names), maxNamed)], ", "))
}

// maxNamed bounds the names in one finding.
const maxNamed = 10

// examineKubeconfigs looks when the credentials for clusters end.
func (s *Server) examineKubeconfigs(ctx context.Context) []model.Finding {
	if s.opts.Waker == nil { // then credentials are not in the cache
		return nil
	}
	var clusters v1alpha1.ClusterList
	if err := s.opts.Cache.List(ctx, &clusters, client.UnsafeDisableDeepCopy); err != nil {
		return finding("kubeconfigs", model.FindingUnknown, "", "the Clusters cannot be read")
	}
	var out []model.Finding
	for i := range clusters.Items {
		c := &clusters.Items[i]
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: s.opts.SystemNamespace, Name: c.Spec.SecretRef.Name}
		if s.opts.Cache.Get(ctx, key, &secret, client.UnsafeDisableDeepCopy) != nil {
			continue // its Cluster says so
		}
		config, err := cluster.ReadKubeconfig(secret.Data[kubeconfigKey])
		if err != nil {
			continue // as above
		}
		until, now := cluster.Until(config), s.opts.Clock.Now()
		next := fmt.Sprintf("waybill cluster rotate %s --kubeconfig FILE", c.Name)
		switch name := "kubeconfig of " + c.Name; {
		case until.IsZero() || until.Sub(now) > endsSoon:
		case until.Before(now):
			out = append(out, finding(name, model.FindingFail, next, "ended %s", until.Format(time.RFC3339))...)
		default:
			out = append(out, finding(name, model.FindingWarn, next, "ends %s", until.Format(time.RFC3339))...)
		}
	}
	if len(out) == 0 && len(clusters.Items) > 0 {
		return finding("kubeconfigs", model.FindingOK, "", "none ends within %d days, as far as they say", int(endsSoon.Hours()/24))
	}
	return out
}
