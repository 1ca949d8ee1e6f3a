package rest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/notify"
	"github.com/waybill-dev/waybill/promotion/notify/delivery"
)

// Messenger sends messages by the channels of Projects; its errors hold nothing that
// a channel's Secret says.
type Messenger interface {
	Send(ctx context.Context, project, channel string, m message.Message) error
}

// TestNotification sends a test message by the channel of a notification.
func (s *Server) TestNotification(ctx context.Context, request TestNotificationRequestObject) (TestNotificationResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	var p v1alpha1.Project
	if err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: request.Project}, &p); err != nil {
		return nil, fromKube(fmt.Sprintf("read Project %q", request.Project), err)
	}
	i := slices.IndexFunc(p.Spec.Notifications, func(n v1alpha1.Notification) bool { return n.Name == request.Notification })
	if i < 0 {
		return nil, refuse(model.NotFound, "Project %q has no notification %q", request.Project, request.Notification)
	}
	if s.opts.Messenger == nil {
		return nil, refuse(model.NotFound, "this server sends no messages")
	}
	n := &p.Spec.Notifications[i]
	l := notify.Test(n, p.Name, promotion.Person(who.person.User), "test-"+strings.ToLower(rand.Text()), s.opts.PublicURL, s.opts.Clock.Now())
	out := model.NotificationTest{Notification: n.Name, Channel: n.Channel, ID: l.ID, Sent: true}
	if err := s.opts.Messenger.Send(ctx, p.Name, n.Channel, delivery.Message(l)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out.Sent, out.Reason, out.Message = false, delivery.ReasonOf(err), promotion.OneLine(err.Error(), maxTestAnswer)
	}
	return TestNotification200JSONResponse(out), nil
}

// maxTestAnswer bounds what is shown of why a test message was not sent, in bytes.
const maxTestAnswer = 1024
