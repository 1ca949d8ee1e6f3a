package registry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
	"github.com/waybill-dev/waybill/warehouse/signature/signaturetest"
)

// refusedOf returns tag:reason of refused images.
func refusedOf(p warehouse.Poll) string {
	var out []string
	for _, r := range p.Refused {
		out = append(out, r.Tag+":"+r.Reason)
	}
	return strings.Join(out, " ")
}

func signedBy(key *signaturetest.Key) *v1alpha1.ImageSignature {
	return &v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: key.Public}}
}

// TestOnlySignedImagesAreCandidates: whatever is wrong with a signature, the image
// is no candidate, its reason is told, and older ones that are signed are used.
func TestOnlySignedImagesAreCandidates(t *testing.T) {
	now := newClock()
	key, stranger := signaturetest.NewKey(t), signaturetest.NewKey(t)
	authority := signaturetest.NewAuthority(t, now.Now())
	who := signaturetest.Identity{Issuer: "https://issuer.example.com", Subject: "https://git.example.com/app/release.yaml@refs/heads/main"}
	evil := signaturetest.Identity{Issuer: who.Issuer, Subject: "https://git.example.com/evil"}
	issued := now.Now().Add(-time.Hour)
	const app = "team/app"
	for _, withoutReferrers := range []bool{false, true} {
		r := registrytest.New(t, func(o *demoregistry.Options) { o.WithoutReferrers = withoutReferrers })
		push := func(tag string) string { return r.Push(app, tag, demoregistry.ImageOptions{Salt: tag}) }
		signaturetest.PushSimple(t, r.Server, app, push("1.0.0"), key.Sign(digestOf(t, r, app, "1.0.0")))
		logged := authority.Sign(digestOf(t, r, app, "1.0.0"), who, issued, issued.Add(time.Minute))
		signaturetest.PushSimple(t, r.Server, app, push("1.1.0"), key.Sign(digestOf(t, r, app, "1.1.0")),
			authority.Sign(digestOf(t, r, app, "1.1.0"), who, issued, issued.Add(time.Minute)))
		push("1.2.0")
		signaturetest.PushSimple(t, r.Server, app, push("1.3.0"), stranger.Sign(digestOf(t, r, app, "1.3.0")),
			authority.Sign(digestOf(t, r, app, "1.3.0"), evil, issued, issued.Add(time.Minute)))
		tampered := key.Sign(digestOf(t, r, app, "1.3.0"))
		tampered.Payload = signaturetest.Payload(push("1.4.0"))
		signaturetest.PushSimple(t, r.Server, app, digestOf(t, r, app, "1.4.0"), tampered, logged)
		signaturetest.PushSimple(t, r.Server, app, push("1.5.0"), authority.Sign(digestOf(t, r, app, "1.5.0"), who, issued, issued.Add(time.Hour)))

		for _, c := range []struct {
			why       string
			signature *v1alpha1.ImageSignature
			want      []string
			refused   string
		}{
			{
				"by key", signedBy(key), []string{"1.1.0", "1.0.0"},
				"1.5.0:SignatureInvalid 1.4.0:SignatureInvalid 1.3.0:SignatureInvalid 1.2.0:SignatureMissing",
			},
			{
				"by identity",
				&v1alpha1.ImageSignature{Keyless: &v1alpha1.SignatureIdentity{Issuer: who.Issuer, Subject: who.Subject, TrustedRoot: authority.TrustedRoot()}},
				[]string{"1.1.0"},
				"1.5.0:CertificateExpired 1.4.0:SignatureInvalid 1.3.0:SignerNotAllowed 1.2.0:SignatureMissing 1.0.0:SignatureInvalid",
			},
			{"by nobody", nil, []string{"1.5.0", "1.4.0", "1.3.0", "1.2.0", "1.1.0", "1.0.0"}, ""},
		} {
			for _, strategy := range []v1alpha1.ImageSelectionStrategy{v1alpha1.SelectSemVer, v1alpha1.SelectLexical, v1alpha1.SelectNewestBuild} {
				client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
				poll, err := client.Poll(t.Context(), registry.Repository{URL: r.Name(app), Credential: account(t, r)},
					compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), ImageSelectionStrategy: strategy, Signature: c.signature}), time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, tagsOf(poll.Candidates)); diff != "" || refusedOf(poll) != c.refused {
					t.Errorf("%s, %s: refused %q, want %q; candidates (-want +got):\n%s", c.why, strategy, refusedOf(poll), c.refused, diff)
				}
				if c.signature != nil && (poll.Reason == "" || !strings.Contains(poll.Error, `tag "1.5.0"`) || poll.IsFailed) {
					t.Errorf("%s, %s: the poll does not tell about the newest: %q %q", c.why, strategy, poll.Reason, poll.Error)
				}
			}
		}
	}
}

// digestOf returns what a tag points at.
func digestOf(t *testing.T, r *registrytest.Registry, repo, tag string) string {
	t.Helper()
	a, err := newClient(t).Resolve(t.Context(), registry.Repository{URL: r.Name(repo), Credential: account(t, r)}, tag, registry.Want{})
	if err != nil {
		t.Fatal(err)
	}
	return a.Digest
}

// TestBundlesAreFound where the registry lists what refers to an image, and in the
// index that stands for it where the registry cannot.
func TestBundlesAreFound(t *testing.T) {
	const app, signed = "team/app", "https://sigstore.dev/cosign/sign/v1"
	key, stranger := signaturetest.NewKey(t), signaturetest.NewKey(t)
	r := registrytest.New(t)
	for tag, bundle := range map[string]func(digest string) []byte{
		"1.0.0": func(d string) []byte { return key.Bundle(d, signed) },
		"1.1.0": func(d string) []byte { return stranger.Bundle(d, signed) },
		"1.2.0": func(d string) []byte { return key.Bundle(d, "https://slsa.dev/provenance/v1") },
	} {
		digest := r.Push(app, tag, demoregistry.ImageOptions{Salt: tag})
		signaturetest.PushBundle(t, r.Server, app, digest, bundle(digest))
	}
	poll, err := newClient(t).Poll(t.Context(), registry.Repository{URL: r.Name(app), Credential: account(t, r)},
		compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), Signature: signedBy(key)}), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got := refusedOf(poll); got != "1.2.0:SignatureMissing 1.1.0:SignatureInvalid" || strings.Join(tagsOf(poll.Candidates), " ") != "1.0.0" {
		t.Errorf("got %q, refused %q", tagsOf(poll.Candidates), got)
	}
}

// TestCostOfSignatures: what is signed is looked at once, over restarts; what is
// not is asked for again, more and more seldom, because it may be signed later.
func TestCostOfSignatures(t *testing.T) {
	const app = "team/app"
	now, dir, key := newClock(), t.TempDir(), signaturetest.NewKey(t)
	r := registrytest.New(t)
	policy := compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), Signature: signedBy(key)})
	repo := registry.Repository{URL: r.Name(app), Credential: account(t, r)}
	digest := r.Push(app, "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	signaturetest.PushSimple(t, r.Server, app, digest, key.Sign(digest))
	for range 2 { // the second time after a restart
		client := newClient(t, func(o *registry.Options) { o.Now, o.CacheDir = now.Now, dir })
		for range 3 {
			now.advance(time.Minute)
			if poll, err := client.Poll(t.Context(), repo, policy, time.Time{}); err != nil || len(poll.Candidates) != 1 {
				t.Fatalf("%+v, %v", poll, err)
			}
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Total(demoregistry.KindBlob); got != 1 {
		t.Errorf("the signature was read %d times", got)
	}

	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	late := r.Push(app, "1.1.0", demoregistry.ImageOptions{Salt: "2"})
	var costs []int
	for range 40 {
		now.advance(5 * time.Minute)
		poll, err := client.Poll(t.Context(), repo, policy, time.Time{})
		if err != nil || refusedOf(poll) != "1.1.0:SignatureMissing" || len(poll.Candidates) != 1 {
			t.Fatalf("%+v, %v", poll, err)
		}
		costs = append(costs, poll.Requests)
	}
	if busy := len(slices.DeleteFunc(slices.Clone(costs), func(n int) bool { return n <= 2 })); busy > 15 { // a token and the list
		t.Errorf("an image that stays unsigned is asked for too often: %v", costs)
	}
	signaturetest.PushSimple(t, r.Server, app, late, key.Sign(late))
	for range 20 {
		now.advance(5 * time.Minute)
		if poll, err := client.Poll(t.Context(), repo, policy, time.Time{}); err != nil {
			t.Fatal(err)
		} else if len(poll.Candidates) == 2 && len(poll.Refused) == 0 && poll.Reason == "" {
			return
		}
	}
	t.Error("an image that was signed later is not found within 100 minutes")
}

// TestSignaturesAreLookedForOnce however many subscriptions ask at a time, of what
// is signed and of what is not.
func TestSignaturesAreLookedForOnce(t *testing.T) {
	const app = "team/app"
	now, key := newClock(), signaturetest.NewKey(t)
	r := registrytest.New(t)
	digest := r.Push(app, "1.0.0", demoregistry.ImageOptions{Salt: "1"})
	signaturetest.PushSimple(t, r.Server, app, digest, key.Sign(digest))
	r.Push(app, "1.1.0", demoregistry.ImageOptions{Salt: "2"})
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	policy := compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), Signature: signedBy(key)})
	repo, since := registry.Repository{URL: r.Name(app), Credential: account(t, r)}, now.Now()
	r.ResetRequests()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			poll, err := client.Poll(t.Context(), repo, policy, since)
			if err != nil || len(poll.Candidates) != 1 || refusedOf(poll) != "1.1.0:SignatureMissing" {
				t.Errorf("%+v, %v", poll, err)
			}
		})
	}
	all.Wait()
	if got := r.Total(demoregistry.KindBlob); got != 1 {
		t.Errorf("the signature was read %d times", got)
	}
	// Of each image its digest, cosign's tag, and the list of referrers.
	if got := r.Total(demoregistry.KindManifestGet, demoregistry.KindManifestHead); got > 6 {
		t.Errorf("%v requests", r.Requests())
	}
}

// TestManyUnsignedImages cost no more than a bounded number of questions at a
// time, and the one that is signed is found.
func TestManyUnsignedImages(t *testing.T) {
	const app, tags = "team/app", 250
	now, key := newClock(), signaturetest.NewKey(t)
	r := registrytest.New(t)
	for i := range tags {
		digest := r.Push(app, fmt.Sprintf("1.0.%d", i), demoregistry.ImageOptions{Salt: fmt.Sprint(i)})
		if i == 0 {
			signaturetest.PushSimple(t, r.Server, app, digest, key.Sign(digest))
		}
	}
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	policy := compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), Signature: signedBy(key), DiscoveryLimit: 5})
	for range 10 {
		now.advance(time.Second)
		poll, err := client.Poll(t.Context(), registry.Repository{URL: r.Name(app), Credential: account(t, r)}, policy, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		// Each image: its digest, cosign's tag, the referrers or their index.
		if poll.Requests > 4*110 {
			t.Fatalf("one poll cost %d requests", poll.Requests)
		}
		if len(poll.Candidates) == 1 {
			return
		}
	}
	t.Error("the signed image is not found")
}

// TestSignatureFaults: a registry that fails while signatures are read fails the
// poll, and nothing is taken for unsigned, or signed.
func TestSignatureFaults(t *testing.T) {
	const app = "team/app"
	key := signaturetest.NewKey(t)
	r := registrytest.New(t)
	digest := r.Push(app, "1.0.0", demoregistry.ImageOptions{})
	signaturetest.PushSimple(t, r.Server, app, digest, key.Sign(digest))
	policy := compile(t, v1alpha1.ImageSubscription{RepoURL: r.Name(app), Signature: signedBy(key)})
	repo := registry.Repository{URL: r.Name(app), Credential: account(t, r)}
	for _, c := range []struct {
		why    string
		fault  demoregistry.Fault // of blobs
		failed bool
		reason string
	}{
		{"the registry fails", demoregistry.Fault{Status: http.StatusInternalServerError}, true, "RegistryFailed"},
		{"the registry refuses", demoregistry.Fault{Status: http.StatusForbidden}, true, "AccessDenied"},
		{"the signature is gone", demoregistry.Fault{Status: http.StatusNotFound}, false, warehouse.ReasonSignatureUnreadable},
		{"the signature is other bytes", demoregistry.Fault{Status: http.StatusOK, Body: "{}"}, false, warehouse.ReasonSignatureUnreadable},
	} {
		r.SetFault(func(_ *http.Request, kind demoregistry.Kind) *demoregistry.Fault {
			if kind != demoregistry.KindBlob {
				return nil
			}
			return &c.fault
		})
		poll, _ := newClient(t).Poll(t.Context(), repo, policy, time.Time{})
		r.SetFault(nil)
		if poll.IsFailed != c.failed || poll.Reason != c.reason || len(poll.Candidates) > 0 {
			t.Errorf("%s: %+v", c.why, poll)
		}
	}
	if poll, err := newClient(t).Poll(t.Context(), repo, policy, time.Time{}); err != nil || len(poll.Candidates) != 1 {
		t.Errorf("afterwards: %+v, %v", poll, err)
	}
}
