package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
)

// TestMendedCredentialIsTriedAtOnce: a Warehouse that has failed for an hour
// waits minutes between polls; a changed credential Secret ends the wait.
func TestMendedCredentialIsTriedAtOnce(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	warehouse := func(project string) *v1alpha1.Warehouse {
		w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "guestbook", Generation: 1}}
		w.Spec.Interval.Duration = time.Hour
		w.Spec.Subscriptions = []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: "registry.example/guestbook"}}}
		w.Status.ObservedGeneration = 1
		w.Status.Subscriptions = []v1alpha1.SubscriptionStatus{{
			RepoURL: "registry.example/guestbook", LastPoll: at(-time.Second), NextPoll: at(time.Hour), LastSuccess: at(-time.Hour), Error: "authentication failed",
		}}
		return w
	}
	mine, other := warehouse("mine"), warehouse("other")
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(mine, other).WithStatusSubresource(mine).Build()
	polls := map[string]int{}
	r := NewWarehouseReconciler(WarehouseOptions{
		Client: c, Clock: clocktesting.NewFakePassiveClock(now),
		Credentials: func(_ context.Context, _ credentials.Type, project, _ string) (credentials.Credential, error) {
			polls[project]++
			return credentials.Credential{}, errors.New("still wrong")
		},
	})
	reconcile := func(w *v1alpha1.Warehouse) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w)}); err != nil {
			t.Fatal(err)
		}
	}
	reconcile(mine)
	if polls["mine"] != 0 {
		t.Fatal("it was polled though it was not due")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "mine", Name: "registry"}}
	woken := r.failingWarehouses(t.Context(), secret)
	if len(woken) != 1 || woken[0].NamespacedName != client.ObjectKeyFromObject(mine) {
		t.Fatalf("the Secret wakes %v", woken)
	}
	reconcile(mine)
	reconcile(other)
	if polls["mine"] != 1 || polls["other"] != 0 {
		t.Errorf("polls are %v, want one of the Project whose Secret changed", polls)
	}
	reconcile(mine)
	if polls["mine"] != 1 {
		t.Error("one change of a Secret is good for one poll")
	}
}
