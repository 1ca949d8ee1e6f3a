package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/fence"
)

// oneShare is a replica that has everything while it is current.
type oneShare struct {
	mu        sync.Mutex
	self      v1alpha1.Holder
	isCurrent bool
}

func (o *oneShare) Self() (v1alpha1.Holder, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.self, o.isCurrent
}

func (o *oneShare) become(epoch int64, isCurrent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.self.Epoch, o.isCurrent = epoch, isCurrent
}

func (*oneShare) Owner(string) string         { return "r" }
func (*oneShare) IsGone(v1alpha1.Holder) bool { return false }
func (*oneShare) OnChange(func())             {}

func newOneShare() (*oneShare, *claim) {
	o := &oneShare{self: v1alpha1.Holder{Replica: "r", Epoch: 1}, isCurrent: true}
	return o, newClaim(o, &v1alpha1.Holder{Replica: "r", Epoch: 1})
}

func TestClaim(t *testing.T) {
	t.Run("where nothing is shared, all may work", func(t *testing.T) {
		var c *claim
		work, leave, ok := c.enter(t.Context())
		defer leave()
		c.end()
		if !ok || work.Err() != nil || fence.Err(work) != nil {
			t.Error("it may not")
		}
	})
	t.Run("it ends: work is cancelled, and nobody enters again", func(t *testing.T) {
		_, c := newOneShare()
		work, leave, ok := c.enter(t.Context())
		if !ok || work.Err() != nil || fence.Err(work) != nil {
			t.Fatal("it may not work")
		}
		c.end()
		<-work.Done()
		if err := fence.Err(work); !errors.Is(err, errNotHeld) {
			t.Errorf("a request would be sent: %v", err)
		}
		if _, _, ok := c.enter(t.Context()); ok {
			t.Error("somebody entered")
		}
		waited := make(chan struct{})
		go func() {
			c.wait()
			close(waited)
		}()
		select {
		case <-waited:
			t.Error("it did not wait for the work to end")
		default:
		}
		leave()
		<-waited
	})
	t.Run("a replica that was paused sends nothing, and goes on in no old epoch", func(t *testing.T) {
		o, c := newOneShare()
		work, leave, _ := c.enter(t.Context())
		defer leave()
		o.become(1, false)
		if err := fence.Err(work); !errors.Is(err, errNotHeld) {
			t.Errorf("a request would be sent: %v", err)
		}
		<-work.Done()
		o.become(2, true)
		if err := fence.Err(work); !errors.Is(err, errNotHeld) {
			t.Errorf("a request of the old epoch would be sent: %v", err)
		}
	})
	t.Run("work ends with what it is part of", func(t *testing.T) {
		_, c := newOneShare()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		work, leave, _ := c.enter(ctx)
		cancel()
		<-work.Done()
		leave()
		c.wait()
		if c.check() != nil {
			t.Error("the claim ended with it")
		}
	})
}
