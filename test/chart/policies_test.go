package chart

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const project = "guestbook"

// rights are who may do what below. The writers may create, change and delete
// Promotions and Freezes, and hold no verb on any Stage.
const rights = `
apiVersion: v1
kind: Namespace
metadata: {name: guestbook}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: guestbook}
rules:
- {apiGroups: [waybill.dev], resources: [promotions, freezes], verbs: [get, list, create, update, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: test-promoter, namespace: guestbook}
rules:
- {apiGroups: [waybill.dev], resources: [stages], resourceNames: [test], verbs: [promote]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers, namespace: guestbook}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:walter"}
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:tess"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: test-promoters, namespace: guestbook}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: test-promoter}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:tess"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: promoters, namespace: guestbook}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: waybill-promoter}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:petra"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: admins, namespace: guestbook}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: waybill-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "waybill:admins"}]
`

// people are clients by name, each who the API server takes them for.
type people struct {
	walter, tess, petra, ada, server, serverAsPetra client.Client
}

// guarded installs the chart, gives rights, and waits until the policies hold:
// the API server compiles them a moment after it has stored them.
func guarded(t *testing.T) people {
	t.Helper()
	installed(t)
	cluster.Apply(t, rights)
	server := cluster.ConfigFor(t, "system:serviceaccount:"+releaseNamespace+":waybill",
		"system:serviceaccounts", "system:serviceaccounts:"+releaseNamespace)
	asPetra := rest.CopyConfig(server)
	asPetra.Impersonate = rest.ImpersonationConfig{UserName: "waybill:petra", Groups: []string{"system:authenticated"}}
	p := people{
		walter: clientOf(t, cluster.ConfigFor(t, "waybill:walter")), tess: clientOf(t, cluster.ConfigFor(t, "waybill:tess")),
		petra: clientOf(t, cluster.ConfigFor(t, "waybill:petra")), ada: clientOf(t, cluster.ConfigFor(t, "waybill:ada", "waybill:admins")),
		server: clientOf(t, server), serverAsPetra: clientOf(t, asPetra),
	}
	p.await(t)
	return p
}

func clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits until both policies refuse and roles are known.
func (p people) await(t *testing.T) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		refused := func(o client.Object) bool {
			err := p.walter.Create(ctx, o, client.DryRunAll)
			return err != nil && strings.Contains(err.Error(), "needs the verb")
		}
		filled := promotion("test", nil)
		err := p.petra.Create(ctx, filled, client.DryRunAll)
		return err == nil && filled.Spec.RequestedBy == "waybill:petra" && refused(promotion("test", nil)) && refused(freeze("test", "waybill:walter", nil)), nil
	})
	if err != nil {
		t.Fatalf("the policies do not hold: %v", err)
	}
}

// sequence makes names unique. Tests of this package run one after the other.
var sequence int

func next() int {
	sequence++
	return sequence
}

func promotion(stage string, edit func(*v1alpha1.PromotionSpec)) *v1alpha1.Promotion {
	p := &v1alpha1.Promotion{
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: fmt.Sprintf("%s.%d.f0123456", stage, next())},
		Spec:       v1alpha1.PromotionSpec{Stage: stage, Kind: v1alpha1.KindPromote, Freight: "f0123456"},
	}
	if edit != nil {
		edit(&p.Spec)
	}
	return p
}

func freeze(stage, by string, edit func(*v1alpha1.FreezeSpec)) *v1alpha1.Freeze {
	f := &v1alpha1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: fmt.Sprintf("freeze-%d", next())},
		Spec:       v1alpha1.FreezeSpec{Stage: stage, Scope: v1alpha1.FreezeAll, Reason: "shown in a test", By: by},
	}
	if edit != nil {
		edit(&f.Spec)
	}
	return f
}

func TestWhoMayCreate(t *testing.T) {
	p := guarded(t)
	rollback := func(s *v1alpha1.PromotionSpec) { s.Kind, s.Freight = v1alpha1.KindRollback, "" }
	by := func(who string) func(*v1alpha1.PromotionSpec) {
		return func(s *v1alpha1.PromotionSpec) { s.RequestedBy = who }
	}
	byPolicy := func(s *v1alpha1.PromotionSpec) { s.RequestedBy, s.Automatic = v1alpha1.PolicyUser, true }
	hold := func(s *v1alpha1.FreezeSpec) { s.Scope = v1alpha1.FreezeAutomatic }
	end := metav1.NewTime(time.Now().Add(time.Hour))
	pause := func(s *v1alpha1.FreezeSpec) { s.Scope, s.Until = v1alpha1.FreezeHealing, &end }
	reject := func(s *v1alpha1.FreezeSpec) { s.Freight = []string{"f0123456"} }
	for _, tc := range []struct {
		why    string
		as     client.Client
		object client.Object
		want   string // part of the refusal; empty when it is allowed
	}{
		{"create is not promote", p.walter, promotion("test", nil), "waybill:walter needs the verb promote on stage guestbook/test"},
		{"promote on one Stage", p.tess, promotion("test", nil), ""},
		{"is not promote on another", p.tess, promotion("prod", nil), "waybill:tess needs the verb promote on stage guestbook/prod"},
		{"nor rollback", p.tess, promotion("test", rollback), "waybill:tess needs the verb rollback on stage guestbook/test"},
		{"a promoter promotes", p.petra, promotion("prod", nil), ""},
		{"and rolls back", p.petra, promotion("prod", rollback), ""},
		{"saying who asks is fine", p.petra, promotion("prod", by("waybill:petra")), ""},
		{"saying somebody else is not", p.petra, promotion("prod", by("waybill:ada")), "spec.requestedBy must be the user who creates the Promotion"},
		{"least of all the policy", p.petra, promotion("prod", by(v1alpha1.PolicyUser)), "spec.requestedBy must be"},
		{"an admin is not the policy either", p.ada, promotion("prod", byPolicy), "spec.requestedBy must be"},
		{"nor automatic", p.ada, promotion("prod", func(s *v1alpha1.PromotionSpec) { s.Automatic = true }), "spec.automatic is set by Waybill alone"},
		{"a closed gate needs more", p.petra, promotion("prod", func(s *v1alpha1.PromotionSpec) {
			s.Bypass, s.Reason = []v1alpha1.Gate{v1alpha1.GateSoak}, "urgent"
		}), "waybill:petra needs the verb bypass on stage guestbook/prod to pass a closed gate"},
		{"an admin has it", p.ada, promotion("prod", func(s *v1alpha1.PromotionSpec) {
			s.Bypass, s.Reason = []v1alpha1.Gate{v1alpha1.GateSoak}, "urgent"
		}), ""},
		{"the server is the policy", p.server, promotion("prod", byPolicy), ""},
		{"the server as a person is that person", p.serverAsPetra, promotion("prod", byPolicy), "spec.requestedBy must be"},
		{"with that person's rights", p.serverAsPetra, promotion("prod", by("waybill:petra")), ""},
		{"a freeze needs freeze", p.petra, freeze("prod", "waybill:petra", nil), "waybill:petra needs the verb freeze on stage guestbook/prod"},
		{"a hold needs promote", p.petra, freeze("prod", "waybill:petra", hold), ""},
		{"so does a pause of healing", p.petra, freeze("prod", "waybill:petra", pause), ""},
		{"a tester pauses the healing of his Stage", p.tess, freeze("test", "waybill:tess", pause), ""},
		{"and of no other", p.tess, freeze("prod", "waybill:tess", pause), "waybill:tess needs the verb promote on stage guestbook/prod"},
		{"in nobody's name but their own", p.petra, freeze("prod", "waybill:ada", pause), "spec.by must be"},
		{"which some lack", p.walter, freeze("prod", "waybill:walter", hold), "waybill:walter needs the verb promote on stage guestbook/prod"},
		{"a rejection needs promote", p.petra, freeze("prod", "waybill:petra", reject), ""},
		{"on every Stage when it is for all", p.tess, freeze("*", "waybill:tess", hold), "needs the verb promote on stage guestbook/*"},
		{"an admin freezes", p.ada, freeze("*", "waybill:ada", nil), ""},
		{"in nobody else's name", p.ada, freeze("prod", "waybill:petra", nil), "spec.by must be the user who writes the Freeze"},
		{"not the policy's", p.ada, freeze("prod", v1alpha1.PolicyUser, nil), "spec.by must be"},
		{"which the server may use", p.server, freeze("prod", v1alpha1.PolicyUser, reject), ""},
	} {
		t.Run(tc.why, func(t *testing.T) { expect(t, tc.as.Create(t.Context(), tc.object), tc.want) })
	}
}

// expect fails unless err is a refusal that holds want, or nil when want is
// empty.
func expect(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want forbidden: %s", err, want)
	}
}

// Who asked is filled in, so that nobody need say it and nobody can leave it
// out.
func TestRequestedByIsFilledIn(t *testing.T) {
	p := guarded(t)
	for who, c := range map[string]client.Client{"waybill:petra": p.petra, "waybill:tess": p.tess} {
		created := promotion("test", nil)
		if err := c.Create(t.Context(), created); err != nil {
			t.Fatal(err)
		}
		if created.Spec.RequestedBy != who {
			t.Errorf("requestedBy is %q, want %q", created.Spec.RequestedBy, who)
		}
	}
}

func TestWhoMayAbortAndDelete(t *testing.T) {
	p := guarded(t)
	const stage = "prod"
	made := promotion(stage, nil)
	frozen := freeze(stage, "waybill:ada", nil)
	held := freeze(stage, "waybill:petra", func(s *v1alpha1.FreezeSpec) { s.Scope = v1alpha1.FreezeAutomatic })
	for _, step := range []struct {
		as     client.Client
		object client.Object
	}{{p.petra, made}, {p.ada, frozen}, {p.petra, held}} {
		if err := step.as.Create(t.Context(), step.object); err != nil {
			t.Fatal(err)
		}
	}
	abort := func(by string) client.Patch {
		return client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"abort":{"by":%q}}}`, by))
	}
	for _, tc := range []struct {
		why  string
		do   func(ctx context.Context) error
		want string
	}{
		{"abort without promote", func(ctx context.Context) error {
			return p.walter.Patch(ctx, made.DeepCopy(), abort("waybill:walter"))
		}, "waybill:walter needs the verb promote"},
		{"abort as somebody else", func(ctx context.Context) error {
			return p.petra.Patch(ctx, made.DeepCopy(), abort("waybill:ada"))
		}, "spec.abort.by must be the user who aborts"},
		{"abort", func(ctx context.Context) error { return p.petra.Patch(ctx, made.DeepCopy(), abort("waybill:petra")) }, ""},
		{"thaw without freeze", func(ctx context.Context) error { return p.walter.Delete(ctx, frozen.DeepCopy()) }, "waybill:walter needs the verb freeze"},
		{"thaw", func(ctx context.Context) error { return p.ada.Delete(ctx, frozen.DeepCopy()) }, ""},
		{"resume without promote", func(ctx context.Context) error { return p.walter.Delete(ctx, held.DeepCopy()) }, "waybill:walter needs the verb promote"},
		{"resume", func(ctx context.Context) error { return p.petra.Delete(ctx, held.DeepCopy()) }, ""},
		{"delete a Promotion without promote", func(ctx context.Context) error { return p.walter.Delete(ctx, made.DeepCopy()) }, "waybill:walter needs the verb promote"},
		{"delete a Promotion", func(ctx context.Context) error { return p.ada.Delete(ctx, made.DeepCopy()) }, ""},
	} {
		if !t.Run(tc.why, func(t *testing.T) { expect(t, tc.do(t.Context()), tc.want) }) {
			break // what follows builds on it
		}
	}
}
