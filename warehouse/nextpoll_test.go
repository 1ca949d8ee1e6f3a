package warehouse_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func TestNextPoll(t *testing.T) {
	at := time.Date(2026, 5, 1, 8, 0, 0, 500, time.UTC)
	on := func(d time.Duration) time.Time { return at.Truncate(time.Second).Add(d) }
	failed := func(since time.Duration, retryAt time.Time) (v1alpha1.SubscriptionStatus, warehouse.Poll) {
		s := v1alpha1.SubscriptionStatus{}
		if since > 0 {
			last := metav1.NewTime(at.Add(-since))
			s.LastSuccess = &last
		}
		return s, warehouse.Poll{At: metav1.NewTime(at), IsFailed: true, Stretch: 2, RetryAt: retryAt}
	}
	for _, c := range []struct {
		why  string
		poll func() (v1alpha1.SubscriptionStatus, warehouse.Poll)
		want time.Time
	}{
		{"an interval later, on a whole second", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) {
			return v1alpha1.SubscriptionStatus{}, warehouse.Poll{At: metav1.NewTime(at)}
		}, on(10*time.Minute + time.Second)},
		{"a registry that limits us", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) {
			return v1alpha1.SubscriptionStatus{}, warehouse.Poll{At: metav1.NewTime(at), Stretch: 4}
		}, on(40*time.Minute + time.Second)},
		{"first failure", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) { return failed(time.Second, time.Time{}) }, on(6 * time.Second)},
		{"failing for a minute", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) { return failed(time.Minute, time.Time{}) }, on(61 * time.Second)},
		{"failing for a day", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) { return failed(24*time.Hour, time.Time{}) }, on(5*time.Minute + time.Second)},
		{"never answered since it was made", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) { return failed(0, time.Time{}) }, on(5*time.Minute + time.Second)},
		{"the registry said when", func() (v1alpha1.SubscriptionStatus, warehouse.Poll) { return failed(time.Second, on(time.Hour)) }, on(time.Hour)},
	} {
		s, poll := c.poll()
		if got := warehouse.NextPoll(s, poll, 10*time.Minute, at.Add(-time.Hour)); !got.Time.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.why, got.Time, c.want)
		}
	}
}
