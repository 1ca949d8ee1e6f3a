package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/message"
)

// TestNotificationIsTried: who may change Stages sends a test message, and is told
// what the other side answers without what the channel's Secret says.
func TestNotificationIsTried(t *testing.T) {
	const project, hush = "notified", "canary-of-a-channel"
	var mu sync.Mutex
	var got []string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(body))
		if len(got) > 1 {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "nothing at %s", r.URL)
		}
	}))
	t.Cleanup(receiver.Close)
	out, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}}
	messenger := message.Sender{
		Channels: &secretstore.Store{Reader: shared.admin, SystemNamespace: systemNamespace},
		Outbound: func(context.Context, string) (message.Outbound, error) { return out, nil },
	}
	stop, err := w.serve(context.Background(), Options{Messenger: messenger, PublicURL: "https://waybill.example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Labels: map[string]string{v1alpha1.LabelProject: "true"}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "chat", Labels: map[string]string{v1alpha1.LabelCredentialType: "message"}},
			StringData: map[string]string{"type": "webhook", "url": receiver.URL + "/" + hush}},
		&v1alpha1.Project{ObjectMeta: metaOf(project), Spec: v1alpha1.ProjectSpec{Notifications: []v1alpha1.Notification{{Name: "on-call", Channel: "chat"}}}},
	} {
		if err := w.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.admin.Delete(context.Background(), o) })
	}
	admin := w.as(t, "admin")
	try := func(name string) (a answer) {
		return admin.do(t, http.MethodPost, "/api/v1/projects/"+project+"/notifications/"+name+"/test", nil)
	}
	var tested model.NotificationTest
	eventually(t, func() error { // its cache may not have the Project yet
		a := try("on-call")
		if err := json.Unmarshal(a.body, &tested); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	mu.Lock()
	first := strings.Join(got, "\n")
	mu.Unlock()
	if !tested.Sent || strings.Contains(first, "\n") || !strings.Contains(first, `"type":"dev.waybill.Test"`) || !strings.Contains(first, "admin asked") || !strings.Contains(first, tested.ID) {
		t.Errorf("%+v; the receiver got %q", tested, first)
	}
	refused := try("on-call")
	if err := json.Unmarshal(refused.body, &tested); err != nil || tested.Sent || tested.Reason != "MessageRefused" || !strings.Contains(tested.Message, "404") {
		t.Errorf("of a refusal: %d %s", refused.status, refused.body)
	}
	if strings.Contains(string(refused.body), hush) {
		t.Errorf("the answer says a secret: %s", refused.body)
	}
	if a := try("nobody"); a.status != http.StatusNotFound {
		t.Errorf("of a notification that is not there: %d %s", a.status, a.body)
	}
}
