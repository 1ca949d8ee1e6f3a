package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion/notify/delivery"
)

// TestNotified: an approval that is waited for, a promotion that fails and the
// rollback that follows are told once each. When waybilld is killed between the
// sending and its record, that message comes again with the same id; a restart
// tells nothing.
func TestNotified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "notified")
	w.guestbook()
	w.breakImage("1.26.1")
	chat := newChat(t)
	w.startServer(failpoint.Env + "=" + delivery.FailAfterSend + "=kill")
	w.pipeline([]string{"test", "prod"}, func(s *v1alpha1.Stage) {
		if s.Name == "prod" {
			s.Spec.AutoPromotion.Enabled = true
			s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 1}
		}
	})
	w.cluster.Apply(t, w.projectYAML()+fmt.Sprintf(`spec:
  notifications: [{name: on-call, channel: chat}]
---
apiVersion: v1
kind: Secret
metadata: {name: chat, namespace: %s, labels: {waybill.dev/cred-type: message}}
stringData: {type: webhook, url: "%s/in"}
`, w.project, chat.URL))
	has := func(words ...string) error {
		w.t.Helper()
		got := chat.messages()
		for i, word := range words {
			if len(got) <= i || !strings.Contains(got[i], `"type":"dev.waybill.`+word+`"`) {
				return fmt.Errorf("the chat got %q, want %q", got, words)
			}
		}
		if len(got) != len(words) {
			return fmt.Errorf("the chat got %q, want %q", got, words)
		}
		return nil
	}
	w.push("1.26.0")
	w.eventually("waybilld kills itself behind the sending", w.server.wasKilled)
	w.startServer()
	w.eventually("the approval is asked for a second time", func() error { return has("ApprovalRequested", "ApprovalRequested") })
	if got := chat.messages(); strings.Fields(got[0])[0] != strings.Fields(got[1])[0] {
		t.Errorf("one message has two ids: %q", got)
	}
	w.push("1.26.1")
	w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseRolledBack)
	all := []string{"ApprovalRequested", "ApprovalRequested", "PromotionFailed", "RolledBack"}
	w.eventually("the failure and the rollback are told", func() error { return has(all...) })
	w.server.stop()
	w.startServer()
	w.always(2*time.Second, "a restart tells nothing", func() error { return has(all...) })
	if s := w.cli("", "notify", "test", w.project+"/on-call"); s.code != 0 || has(append(slices.Clone(all), "Test")...) != nil {
		t.Errorf("a test ended with %d: %s; the chat got %q", s.code, s.text(), chat.messages())
	}
}
