package controllers

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// TestSlowAnswerForgetsNoRival: a rival writes as soon as its last change was healed, and
// the event of that overtakes the answer to the heal. The next drift still has its name.
func TestSlowAnswerForgetsNoRival(t *testing.T) {
	key := gitops.Key{Kind: "ConfigMap", Namespace: "n", Name: "c"}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app := &v1alpha1.Application{}
	app.UID = "u"
	s := newAppState(app)
	at := func(version uint64) gitops.Live {
		text := strconv.FormatUint(version, 10)
		return gitops.Live{UID: "o", Version: version, Fingerprint: text, OwnerLabel: s.owner.Label(), Owner: s.owner.Annotation()}
	}
	event := func(version uint64) (hasDrifted bool) {
		obj := &unstructured.Unstructured{}
		obj.SetResourceVersion(strconv.FormatUint(version, 10))
		live := at(version)
		live.Fingerprint = "rival's"
		hasDrifted, _ = s.changed(now, key, live, seenObject{obj, true})
		return hasDrifted
	}
	desired := gitops.Desired{Key: key, Version: "v1"}
	s.applied(desired, at(10))
	for _, c := range []struct {
		why        string
		answer     uint64
		remembered bool
	}{
		{"the answer is older than the event", 11, true},
		{"the answer is to what was seen", 12, false},
		{"the answer is newer", 13, false},
		{"a server whose versions are no numbers", 0, false},
	} {
		if !event(12) {
			t.Fatalf("%s: no drift", c.why)
		}
		s.applied(desired, at(c.answer))
		if _, remembered := s.seen[key]; remembered != c.remembered {
			t.Errorf("%s: remembered %v", c.why, remembered)
		}
	}
}
