package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// reasonSignaturesUnknown is that of a Warehouse whose Freight could not be looked
// at for signatures: what is not known to be signed enters no Stage.
const reasonSignaturesUnknown = "SignaturesUnknown"

// proveFreight writes into own, the Freight of w, which of its images are signed as w
// asks for now. What became Freight before w asked is looked at as well: it is
// the image that counts, not when it was found.
func (r *WarehouseReconciler) proveFreight(ctx context.Context, w *v1alpha1.Warehouse, own []v1alpha1.Freight, subscriptions []subscription, notBefore time.Time) error {
	var policies []imageSubscription
	for _, sub := range subscriptions {
		s, isImage := sub.(imageSubscription)
		if isImage && s.p.Signature() != nil && !isFailing(s.identity().Find(w.Status.Subscriptions)) {
			policies = append(policies, s)
		}
	}
	if len(policies) == 0 {
		return nil
	}
	slices.SortFunc(own, func(a, b v1alpha1.Freight) int { return cmp.Compare(b.Order, a.Order) }) // a look has its limits: the newest first
	proven := make([]*v1alpha1.Freight, len(own))
	for i := range own {
		proven[i] = own[i].DeepCopy()
	}
	var failed []error
	for _, s := range policies {
		failed = append(failed, s.prove(ctx, w, proven, notBefore))
	}
	for i := range own {
		if err := patchSignatures(ctx, r.Client, &own[i], proven[i]); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// prove looks for the signatures of the subscription's image in each Freight that
// is not known to have it.
func (s imageSubscription) prove(ctx context.Context, w *v1alpha1.Warehouse, freight []*v1alpha1.Freight, notBefore time.Time) error {
	url, want := s.sub.RepoURL, s.p.SignatureDigest()
	var images []v1alpha1.Image
	var of []*v1alpha1.Freight
	for _, f := range freight {
		i := slices.IndexFunc(f.Images, func(i v1alpha1.Image) bool { return i.RepoURL == url })
		if i < 0 {
			continue
		}
		if known := f.Signature(url, want); known == nil || known.VerifiedAt == nil {
			images, of = append(images, f.Images[i]), append(of, f)
		}
	}
	if len(images) == 0 {
		return nil
	}
	credential, err := s.r.Credentials(ctx, credentials.Image, w.Namespace, url)
	if err != nil {
		return fmt.Errorf("read the credential of %q: %w", url, err)
	}
	repository := registry.Repository{URL: url, Credential: credential, InsecureSkipTLSVerify: s.sub.InsecureSkipTLSVerify}
	refused, err := s.r.Registry.Prove(ctx, repository, s.p, images, notBefore)
	if err != nil {
		return fmt.Errorf("look for the signatures of the Freight of Warehouse %q: %w", w.Name, err)
	}
	now := metav1.NewTime(s.r.Clock.Now())
	for i, f := range of {
		found := v1alpha1.FreightSignature{RepoURL: url, Wanted: want}
		if why := refused[images[i].Digest]; why != nil {
			found.Reason, found.Message = why.Reason, truncate(why.Detail, 1024)
		} else {
			found.VerifiedAt = &now
		}
		warehouse.SetSignature(f, found)
	}
	return nil
}

// patchSignatures writes what was found, without the version it was found on:
// nobody else writes it.
func patchSignatures(ctx context.Context, c client.Client, before, after *v1alpha1.Freight) error {
	if apiequality.Semantic.DeepEqual(before.Status.Signatures, after.Status.Signatures) {
		return nil
	}
	if err := c.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the signatures of Freight %q: %w", after.Name, err)
	}
	return nil
}
