package controllers

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func TestTurns(t *testing.T) {
	var turns turns
	first, _ := turns.take("a", 2)
	second, _ := turns.take("a", 2)
	if first == nil || second == nil {
		t.Fatal("two of two are refused")
	}
	for range 50 {
		end, later := turns.take("a", 2)
		if end != nil || later.RequeueAfter <= 0 || later.RequeueAfter > 2*lastTurn {
			t.Fatalf("a third of two: %v", later)
		}
	}
	if end, _ := turns.take("b", 1); end == nil {
		t.Error("another key waits")
	} else {
		end()
	}
	first()
	if end, _ := turns.take("a", 2); end == nil {
		t.Error("an ended turn is not free")
	} else {
		end()
	}
	second()
	if len(turns.keys) != 0 {
		t.Errorf("what ended is remembered: %v", turns.keys)
	}
}

func TestStoppable(t *testing.T) {
	var s stoppable
	key := types.NamespacedName{Namespace: "p", Name: "test.1.f"}
	s.stop(key) // nothing runs
	ctx, end := s.start(context.Background(), key)
	s.stop(types.NamespacedName{Namespace: "p", Name: "other"})
	if ctx.Err() != nil {
		t.Error("stopped by another's abort")
	}
	s.stop(key)
	if ctx.Err() == nil {
		t.Error("not stopped")
	}
	end()
	if len(s.stops) != 0 {
		t.Errorf("what ended is remembered: %v", s.stops)
	}
}

// TestWhomACredentialWakes: otherwise a Secret in any Namespace would have all
// Projects ask their servers at once, again and again.
func TestWhomACredentialWakes(t *testing.T) {
	secret := func(namespace string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationSharedWith: "*"}}}
	}
	for _, c := range []struct{ of, system, want string }{
		{"guestbook", "waybill-system", "guestbook"}, {"waybill-system", "waybill-system", metav1.NamespaceAll}, {"guestbook", "", "guestbook"},
	} {
		if got := concernedBy(secret(c.of), c.system); got != c.want {
			t.Errorf("a Secret in %q concerns %q, want %q", c.of, got, c.want)
		}
	}
}

// TestConditionsFit: a Stage in a cycle of a thousand says so, rather than have
// its status refused.
func TestConditionsFit(t *testing.T) {
	var conditions []metav1.Condition
	setReady(&conditions, 1, false, "StageCycle", strings.Repeat("stage-é <- ", 10_000))
	setStalled(&conditions, 1, "StageCycle", strings.Repeat("stage-é <- ", 10_000))
	for _, c := range conditions {
		if len(c.Message) > 32_768 || !utf8.ValidString(c.Message) {
			t.Errorf("%s has a message of %d bytes", c.Type, len(c.Message))
		}
	}
}
