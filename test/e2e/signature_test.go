package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/signature/signaturetest"
)

// TestUnsignedEntersNoStage: a Warehouse begins to ask for signatures when
// unsigned Freight is on its way already. Nobody gets that any further, by the
// API or by kubectl; a signed version flows by itself; and what is signed
// afterwards may go on.
func TestUnsignedEntersNoStage(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "signed")
	w.guestbook()
	w.pipeline(nil, func(*v1alpha1.Stage) {})
	key := signaturetest.NewKey(t)
	old := w.registry.Push("guestbook", "1.26.0", demoregistry.ImageOptions{Salt: "1.26.0"})
	w.refresh()
	w.runs("uat", "1.26.0")

	wh := &v1alpha1.Warehouse{}
	w.get("guestbook", wh)
	before := wh.DeepCopy()
	wh.Spec.Subscriptions[0].Image.Signature = &v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}}
	if err := w.client.Patch(t.Context(), wh, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.eventually("why says that nobody signed it", func() error {
		if s := w.cli("", "why", "1.26.0", w.project+"/prod"); !strings.Contains(s.out, "nobody signed it") {
			return fmt.Errorf("it says\n%s", s.text())
		}
		return nil
	})
	s := w.cli("", "promote", "1.26.0", w.project+"/prod", "--bypass", "upstream,approval", "--reason", "the test wants it")
	if s.code != 7 || !strings.Contains(s.err, "signature") || !strings.Contains(s.err, "guestbook:1.26.0@sha256:") {
		t.Errorf("the API let it in, or did not say why: %d\n%s", s.code, s.text())
	}
	refused := w.ends(w.promote("prod", "1.26.0"), v1alpha1.PhaseFailed)
	if refused.Status.Reason != "GateClosed" || len(refused.Status.Gates) != 1 || refused.Status.Gates[0].Gate != v1alpha1.GateSignature {
		t.Errorf("kubectl: %+v", refused.Status)
	}

	next := w.registry.Push("guestbook", "1.27.0", demoregistry.ImageOptions{Salt: "1.27.0"})
	signaturetest.PushSimple(t, w.registry.Server, "guestbook", next, key.Sign(next))
	w.refresh()
	w.runs("uat", "1.27.0")

	signaturetest.PushSimple(t, w.registry.Server, "guestbook", old, key.Sign(old))
	w.eventually("the signature of the old one is found", func() error {
		w.refresh()
		f := w.freight("1.26.0")
		if known := f.Signature(f.Images[0].RepoURL, wh.Spec.Subscriptions[0].Image.Signature.Digest()); known == nil || known.VerifiedAt == nil {
			return fmt.Errorf("%+v", f.Status.Signatures)
		}
		return nil
	})
	if s = w.cli("", "promote", "1.26.0", w.project+"/prod"); s.code != 0 {
		t.Errorf("it is signed: %s", s.text())
	}
	w.runs("prod", "1.26.0")
}
