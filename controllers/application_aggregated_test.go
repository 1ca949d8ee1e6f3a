package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const (
	gadgetGroup   = "gadgets.example.com"
	gadgetVersion = gadgetGroup + "/v1"
)

// gadgetServer is an API server of its own behind the aggregation layer, of a kind
// that knows neither patches nor managedFields.
type gadgetServer struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*unstructured.Unstructured
	events  []watch.Event
	more    chan struct{} // closed and replaced at every event
	writes  []string
}

func newGadgetServer(t *testing.T) (s *gadgetServer, port int) {
	s = &gadgetServer{objects: map[types.NamespacedName]*unstructured.Unstructured{}, more: make(chan struct{})}
	web := http.NewServeMux()
	base := "/apis/" + gadgetVersion
	web.HandleFunc("GET "+base, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gadgetVersion,
			APIResources: []metav1.APIResource{{Name: "gadgets", SingularName: "gadget", Namespaced: true, Kind: "Gadget", Verbs: []string{"get", "list", "watch", "create", "update", "delete"}}},
		})
	})
	web.HandleFunc("GET "+base+"/gadgets", s.list)
	web.HandleFunc("GET "+base+"/namespaces/{namespace}/gadgets", s.list)
	web.HandleFunc("POST "+base+"/namespaces/{namespace}/gadgets", s.write)
	web.HandleFunc("GET "+base+"/namespaces/{namespace}/gadgets/{name}", s.get)
	web.HandleFunc("PUT "+base+"/namespaces/{namespace}/gadgets/{name}", s.write)
	web.HandleFunc("DELETE "+base+"/namespaces/{namespace}/gadgets/{name}", s.remove)
	web.HandleFunc("PATCH "+base+"/namespaces/{namespace}/gadgets/{name}", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "patches are not supported")
	})
	server := httptest.NewTLSServer(web)
	t.Cleanup(server.CloseClientConnections)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(at.Port()); err != nil {
		t.Fatal(err)
	}
	return s, port
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	answer(w, int(code), metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
}

func named(r *http.Request) types.NamespacedName {
	return types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
}

func (s *gadgetServer) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if obj := s.objects[named(r)]; obj != nil {
		answer(w, http.StatusOK, obj)
		return
	}
	refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
}

// list answers lists and watches.
func (s *gadgetServer) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	selector, err := labels.Parse(q.Get("labelSelector"))
	if err != nil || q.Get("sendInitialEvents") != "" {
		refuse(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "not supported")
		return
	}
	if q.Get("watch") != "" {
		s.watch(r.Context(), w, selector, q.Get("resourceVersion"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []any{}
	for key, obj := range s.objects {
		if ns := r.PathValue("namespace"); (ns == "" || ns == key.Namespace) && selector.Matches(labels.Set(obj.GetLabels())) {
			items = append(items, obj.Object)
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"kind": "GadgetList", "apiVersion": gadgetVersion, "metadata": map[string]any{"resourceVersion": strconv.Itoa(len(s.events))}, "items": items,
	})
}

// watch sends what happened since a version: the number of events before it.
func (s *gadgetServer) watch(ctx context.Context, w http.ResponseWriter, selector labels.Selector, from string) {
	next, _ := strconv.Atoi(from)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	_ = stream.Flush()
	for ctx.Err() == nil {
		s.mu.Lock()
		news, more := s.events[min(next, len(s.events)):], s.more
		s.mu.Unlock()
		for _, e := range news {
			next++
			if obj := e.Object.(*unstructured.Unstructured); selector.Matches(labels.Set(obj.GetLabels())) {
				_ = json.NewEncoder(w).Encode(map[string]any{"type": e.Type, "object": obj.Object})
			}
		}
		_ = stream.Flush()
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

func (s *gadgetServer) write(w http.ResponseWriter, r *http.Request) {
	obj := &unstructured.Unstructured{}
	if err := json.NewDecoder(r.Body).Decode(&obj.Object); err != nil {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: obj.GetName()}
	old := s.objects[key]
	switch {
	case r.Method == http.MethodPost && old != nil:
		refuse(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, "exists")
		return
	case r.Method == http.MethodPut && (old == nil || old.GetResourceVersion() != obj.GetResourceVersion()):
		refuse(w, http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified")
		return
	}
	s.writes = append(s.writes, r.Method+" "+r.URL.Path)
	obj.SetNamespace(key.Namespace)
	obj.SetUID(uuid.NewUUID())
	if old != nil {
		obj.SetUID(old.GetUID())
	}
	s.store(key, obj)
	answer(w, http.StatusOK, obj.Object)
}

// store takes obj in as its next version. s.mu is held.
func (s *gadgetServer) store(key types.NamespacedName, obj *unstructured.Unstructured) {
	kind := watch.Modified
	if s.objects[key] == nil {
		kind = watch.Added
	}
	obj.SetResourceVersion(strconv.Itoa(len(s.events) + 1))
	obj.SetManagedFields(nil)
	s.objects[key] = obj
	s.tell(watch.Event{Type: kind, Object: obj})
}

func (s *gadgetServer) tell(e watch.Event) {
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *gadgetServer) remove(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[named(r)]
	if old == nil {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		return
	}
	s.writes = append(s.writes, r.Method+" "+r.URL.Path)
	delete(s.objects, named(r))
	gone := old.DeepCopy()
	gone.SetResourceVersion(strconv.Itoa(len(s.events) + 1))
	s.tell(watch.Event{Type: watch.Deleted, Object: gone})
	answer(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess})
}

// set changes a field, as somebody would by that API server's own means.
func (s *gadgetServer) set(key types.NamespacedName, value any, field ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj := s.objects[key].DeepCopy()
	_ = unstructured.SetNestedField(obj.Object, value, field...)
	s.store(key, obj)
}

// field returns a value as text, "" when there is no such object.
func (s *gadgetServer) field(key types.NamespacedName, field ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj := s.objects[key]
	if obj == nil {
		return ""
	}
	v, _, _ := unstructured.NestedFieldNoCopy(obj.Object, field...)
	return fmt.Sprint(v)
}

// takeWrites returns the writes since it was asked last.
func (s *gadgetServer) takeWrites() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.writes
	s.writes = nil
	return out
}

// TestAggregatedAPIWithoutApply: objects of an API server that knows no server-side
// apply are merged into, watched and healed by their values.
func TestAggregatedAPIWithoutApply(t *testing.T) {
	f := newAppFixture(t)
	server, port := newGadgetServer(t)
	f.kubectl("create", "namespace", f.project+"-gadgets", "-o", "name")
	f.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: gadgets, namespace: %[1]s}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.%[2]s}
spec:
  group: %[2]s
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: %[1]s, name: gadgets, port: %[3]d}
`, f.project+"-gadgets", gadgetGroup, port))
	defer f.kubectl("delete", "apiservice", "v1."+gadgetGroup)
	if !eventually(func() bool {
		return strings.Contains(f.kubectl("get", "apiservice", "v1."+gadgetGroup, "-o", `jsonpath={.status.conditions[?(@.type=="Available")].status}`), "True")
	}) {
		t.Fatalf("the API server is not joined: %s", f.kubectl("get", "apiservice", "v1."+gadgetGroup, "-o", "yaml"))
	}
	gadget := func(size int) string {
		return fmt.Sprintf("apiVersion: %s\nkind: Gadget\nmetadata: {name: g}\nspec: {size: %d, parts: [a, b]}\n", gadgetVersion, size)
	}
	at := types.NamespacedName{Namespace: f.project + "-test", Name: "g"}
	f.application("test", "stage/test", "app")
	f.waitSynced("test", f.commit("stage/test", map[string]string{"app/g.yaml": gadget(1), "app/c.yaml": configMap("c")}))
	if got := server.field(at, "spec", "size"); got != "1" {
		t.Fatalf("size %q", got)
	}

	t.Run("what others change is healed and named", func(t *testing.T) {
		server.set(at, int64(9), "spec", "size")
		if !eventually(func() bool { return server.field(at, "spec", "size") == "1" }) {
			t.Fatalf("size %s", server.field(at, "spec", "size"))
		}
		app := f.waitFor("test", "the record", func(a *v1alpha1.Application) bool { return len(a.Status.Drifts) > 0 })
		if d := app.Status.Drifts[0]; d.Kind != "Gadget" || d.Field != "spec.size" || d.Want != "1" || d.Got != "9" || d.Action != "Healed" {
			t.Errorf("drift %+v", d)
		}
	})
	t.Run("what others add stays", func(t *testing.T) {
		server.takeWrites()
		server.set(at, "red", "spec", "color")
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "red")
		f.waitFor("test", "the refresh", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "red" })
		f.waitSynced("test", f.commit("stage/test", map[string]string{"app/g.yaml": gadget(2)}))
		if size, color := server.field(at, "spec", "size"), server.field(at, "spec", "color"); size != "2" || color != "red" {
			t.Errorf("size %s, color %s", size, color)
		}
		if got := server.takeWrites(); len(got) != 1 {
			t.Errorf("writes %v", got)
		}
		if app := f.waitFor("test", "it", func(*v1alpha1.Application) bool { return true }); len(app.Status.Drifts) != 1 {
			t.Errorf("drifts %+v", app.Status.Drifts)
		}
	})
	t.Run("a restart writes nothing, and sees what changed before it", func(t *testing.T) {
		f.stop()
		f.start()
		f.annotate("test", v1alpha1.AnnotationRequestedAt, "again")
		f.waitFor("test", "the refresh", func(a *v1alpha1.Application) bool { return a.Status.LastHandledRequest == "again" })
		f.waitSynced("test", f.git.Branch("app", "stage/test"))
		if got := server.takeWrites(); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
		f.stop()
		server.set(at, int64(7), "spec", "size")
		f.start()
		if !eventually(func() bool { return server.field(at, "spec", "size") == "2" }) {
			t.Errorf("size %s", server.field(at, "spec", "size"))
		}
	})
	t.Run("what left Git is pruned", func(t *testing.T) {
		f.waitSynced("test", f.remove("stage/test", "app/g.yaml"))
		if got := server.field(at, "metadata", "name"); got != "" {
			t.Error("it is still there")
		}
	})
}
