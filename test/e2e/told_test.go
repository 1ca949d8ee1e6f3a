package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/test/provider"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestToldElsewhere: who wrote a commit sees beside it at the Git provider what
// became of it, and a chat that a Secret of the Project names gets one message of
// the promotion's, and one of each thing that the Project's notification tells.
func TestToldElsewhere(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "told")
	w.guestbook()
	hub := provider.Start(t, w.git)
	w.gitURL = strings.Replace(w.gitURL, "/guestbook.git", "/"+provider.Owner+"/guestbook.git", 1)
	source := w.git.Branch("guestbook", "main")
	w.git.SetBranch("guestbook", "stage/test", source)
	chat := newChat(t)
	notifications := fmt.Sprintf("apiVersion: waybill.dev/v1alpha1\nkind: Project\nmetadata: {name: %s}\nspec:\n  notifications: [{name: all, channel: releases, events: [PromotionSucceeded, FreightCreated, FreezeEnded]}]\n", w.project)
	w.cluster.Apply(t, w.projectYAML(), notifications, w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML(), fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: releases, namespace: %s, labels: {waybill.dev/cred-type: message}}
stringData: {type: webhook, url: "%s/in", authorization: "Bearer of-the-chat"}
`, w.project, chat.URL))
	w.editWarehouse(func(spec *v1alpha1.WarehouseSpec) {
		spec.Subscriptions = append(spec.Subscriptions, v1alpha1.Subscription{Git: &v1alpha1.GitSubscription{RepoURL: w.gitURL, Branch: "main"}})
	})
	s := w.stage("test", "", true)
	w.asksByPull(s)
	steps := &s.Spec.PromotionTemplate.Spec.Steps
	*steps = append((*steps)[:3],
		v1alpha1.PromotionStep{Uses: "git-push", Config: config(t, map[string]any{"path": "./out", "targetBranch": "stage/test"})},
		v1alpha1.PromotionStep{Uses: "send-message", As: "tell", Config: config(t, map[string]any{"channel": "releases", "message": "${{ ctx.stage }} gets ${{ imageFrom('" + w.registry.Name("guestbook") + "').Tag }}"})},
	)
	s.Spec.CommitStatus = &v1alpha1.CommitStatusPolicy{Of: []v1alpha1.CommitStatusTarget{v1alpha1.CommitsOfFreight, v1alpha1.CommitsWritten}, Provider: "gitea"}
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.push("1.26.0")
	p := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.runs("test", "1.26.0")

	for what, commit := range map[string]string{"of the Freight": source, "that was written": p.Status.Commit.Commit} {
		w.eventually("the commit "+what+" has its status", func() error {
			all := slices.DeleteFunc(hub.Statuses(), func(s provider.Status) bool { return s.Commit != commit })
			if len(all) == 0 || all[len(all)-1].State != "success" || all[len(all)-1].Context != "waybill/told/test" {
				return fmt.Errorf("%+v", all)
			}
			return nil
		})
	}
	w.eventually("the Project says that it has told something", func() error {
		var p v1alpha1.Project
		if err := w.client.Get(t.Context(), client.ObjectKey{Name: w.project}, &p); err != nil {
			return err
		}
		if all := p.Status.Notifications; len(all) != 1 || all[0].LastSentAt == nil || all[0].Failure != nil || len(chat.messages()) < 3 {
			return fmt.Errorf("%+v; %q", all, chat.messages())
		}
		return nil
	})
	got := chat.messages()
	step := fmt.Sprintf("Bearer of-the-chat %s.tell", p.UID)
	for _, want := range []string{step, `"type":"dev.waybill.FreightCreated"`, `"type":"dev.waybill.PromotionSucceeded"`} {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(m string) bool { return !strings.Contains(m, want) })); n != 1 {
			t.Errorf("the chat got %d of %s: %q", n, want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("the chat got %q, want 3", got)
	}
}

// chat takes messages.
type chat struct {
	*httptest.Server
	mu  sync.Mutex
	all []string
}

func newChat(t *testing.T) *chat {
	t.Helper()
	c := &chat{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, r.Header.Get("Authorization")+" "+r.Header.Get("Idempotency-Key")+" "+string(body))
	}))
	t.Cleanup(c.Close)
	return c
}

// messages are who sent each, its key and its text.
func (c *chat) messages() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}
