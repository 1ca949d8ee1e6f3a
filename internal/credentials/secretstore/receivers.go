package secretstore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/hook"
)

// Receiver is one entry of a Project's spec.webhookReceivers.
type Receiver struct {
	Name string
	// Sender is "" when the entry names none.
	Sender hook.Sender
	// Receiver is nil when Problem says why it cannot listen.
	Receiver *hook.Receiver
	Problem  string
}

// Receivers returns a Project's receivers with their secrets, in the order of
// its spec. Only Secrets of its own Namespace with the label
// waybill.dev/cred-type: webhook are looked at. The error is one of reading.
func Receivers(ctx context.Context, reader client.Reader, p *v1alpha1.Project) ([]Receiver, error) {
	out := make([]Receiver, 0, len(p.Spec.WebhookReceivers))
	for _, w := range p.Spec.WebhookReceivers {
		r := Receiver{Name: w.Name}
		sender, name, err := hook.SenderOf(w)
		if err != nil {
			r.Problem = err.Error()
			out = append(out, r)
			continue
		}
		r.Sender = sender
		var s corev1.Secret
		err = reader.Get(ctx, client.ObjectKey{Namespace: p.Name, Name: name}, &s)
		switch {
		case apierrors.IsNotFound(err) || err == nil && s.Labels[credentials.TypeLabel] != credentials.Webhook:
			r.Problem = fmt.Sprintf("there is no Secret %q with the label %s: %s in Namespace %q", name, credentials.TypeLabel, credentials.Webhook, p.Name)
		case err != nil:
			return nil, fmt.Errorf("read Secret %q of %q: %w", name, p.Name, err)
		default:
			if r.Receiver, err = hook.Compile(p.Name, w, s.Data); err != nil {
				r.Problem = err.Error()
			}
		}
		out = append(out, r)
	}
	return out, nil
}
