package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
)

// startStore runs a Store on a namespace until the returned function is called.
func startStore(t *testing.T, kube kubernetes.Interface, namespace string, clock *clocktesting.FakeClock) (*Store, func()) {
	t.Helper()
	s, err := NewStore(Options{Kube: kube, Namespace: namespace, Clock: clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	eventually(t, func() error {
		if !s.IsReady() {
			return errors.New("not ready")
		}
		return nil
	})
	return s, stop
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // poll with a deadline
	}
}

func TestStore(t *testing.T) {
	e := env.Start(t, env.Options{})
	kube, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	put := func(t *testing.T, namespace, name, password string, groups ...string) {
		t.Helper()
		if err := PutUser(t.Context(), kube, namespace, name, secret.New(password), groups); err != nil {
			t.Fatal(err)
		}
	}
	start := func(t *testing.T) (*Store, *clocktesting.FakeClock, string) {
		t.Helper()
		namespace := e.Namespace(t)
		put(t, namespace, "alice", "pw", "devs", "admins")
		clock := clocktesting.NewFakeClock(time.Now())
		s, _ := startStore(t, kube, namespace, clock)
		return s, clock, namespace
	}
	login := func(t *testing.T, s *Store, kind Kind) secret.Text {
		t.Helper()
		p, err := s.Login(t.Context(), "alice", secret.New("pw"), "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := s.Create(t.Context(), p, Grant{Kind: kind, Note: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	works := func(s *Store, kind Kind, value secret.Text) bool {
		_, _, err := s.Authenticate(context.Background(), kind, value.Reveal())
		return err == nil
	}

	t.Run("login", func(t *testing.T) {
		s, _, _ := start(t)
		p, err := s.Login(t.Context(), "alice", secret.New("pw"), "127.0.0.1:1")
		if err != nil || p.User != "waybill:alice" || fmt.Sprint(p.Groups) != "[waybill:admins waybill:devs]" {
			t.Fatalf("%+v %v", p, err)
		}
		for _, tc := range [][2]string{{"alice", "no"}, {"bob", "pw"}, {"", "pw"}, {"alice\x00", "pw"}, {"../x", "pw"}} {
			if _, err := s.Login(t.Context(), tc[0], secret.New(tc[1]), "127.0.0.2:1"); !errors.Is(err, ErrWrongCredentials) {
				t.Errorf("%q: %v", tc[0], err)
			}
		}
	})

	t.Run("a session ends after eight hours without use, and after a day in any case", func(t *testing.T) {
		s, clock, _ := start(t)
		idle, used := login(t, s, KindSession), login(t, s, KindSession)
		for range 5 {
			clock.Step(4 * time.Hour)
			if !works(s, KindSession, used) {
				t.Fatalf("a session in use ended at %s", clock.Now())
			}
		}
		if works(s, KindSession, idle) {
			t.Error("a session without use lives on")
		}
		clock.Step(4 * time.Hour)
		if works(s, KindSession, used) {
			t.Error("a session lives longer than a day")
		}
	})

	t.Run("a token ends after thirty days", func(t *testing.T) {
		s, clock, _ := start(t)
		token := login(t, s, KindToken)
		clock.Step(30*24*time.Hour - time.Minute)
		if !works(s, KindToken, token) {
			t.Error("ended early")
		}
		clock.Step(2 * time.Minute)
		if works(s, KindToken, token) {
			t.Error("lives on")
		}
	})

	t.Run("neither kind stands for the other", func(t *testing.T) {
		s, _, _ := start(t)
		session, token := login(t, s, KindSession), login(t, s, KindToken)
		if works(s, KindToken, session) || works(s, KindSession, token) || !works(s, KindSession, session) || !works(s, KindToken, token) {
			t.Fatal("a session is taken for a token, or the other way round")
		}
	})

	t.Run("revoked at once, and for good", func(t *testing.T) {
		s, _, _ := start(t)
		token := login(t, s, KindToken)
		if err := s.Revoke(t.Context(), KindToken, token.Reveal()); err != nil {
			t.Fatal(err)
		}
		if works(s, KindToken, token) {
			t.Fatal("works after it was revoked")
		}
		if err := s.Revoke(t.Context(), KindToken, "garbage"); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("survives a restart, and a second replica knows it at once", func(t *testing.T) {
		s, clock, namespace := start(t)
		second, _ := startStore(t, kube, namespace, clock)
		token := login(t, s, KindToken)
		if !works(second, KindToken, token) {
			t.Error("the second replica does not know it")
		}
		third, _ := startStore(t, kube, namespace, clock)
		if !works(third, KindToken, token) {
			t.Error("lost in a restart")
		}
		if err := s.Revoke(t.Context(), KindToken, token.Reveal()); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if works(third, KindToken, token) {
				return errors.New("revoked on one replica, works on another")
			}
			return nil
		})
	})

	t.Run("groups are those of now, and without the user nothing works", func(t *testing.T) {
		s, _, namespace := start(t)
		token := login(t, s, KindToken)
		put(t, namespace, "alice", "pw", "viewers")
		eventually(t, func() error {
			p, _, err := s.Authenticate(t.Context(), KindToken, token.Reveal())
			if err != nil || fmt.Sprint(p.Groups) != "[waybill:viewers]" {
				return fmt.Errorf("%v %v", p.Groups, err)
			}
			return nil
		})
		if err := s.RemoveUser(t.Context(), Editor{Kube: kube, Manages: nobody}, "alice"); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if works(s, KindToken, token) {
				return errors.New("a token works without its user")
			}
			return nil
		})
	})

	t.Run("ended sessions are cleaned up, others stay", func(t *testing.T) {
		s, clock, namespace := start(t)
		login(t, s, KindSession)
		token := login(t, s, KindToken)
		count := func() int {
			l, err := kube.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: LabelSession})
			if err != nil {
				t.Fatal(err)
			}
			return len(l.Items)
		}
		if count() != 2 {
			t.Fatalf("%d sessions", count())
		}
		eventually(t, func() error { // the ticker waits
			if !clock.HasWaiters() {
				return errors.New("nobody waits")
			}
			return nil
		})
		clock.Step(25 * time.Hour)
		eventually(t, func() error {
			if n := count(); n != 1 {
				return fmt.Errorf("%d sessions", n)
			}
			return nil
		})
		if !works(s, KindToken, token) {
			t.Fatal("the token is gone too")
		}
	})

	t.Run("a Secret that was tampered with is no session", func(t *testing.T) {
		s, _, namespace := start(t)
		token := login(t, s, KindToken)
		name, err := secretNameOf(KindToken, token.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		sec, err := kube.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sec.Data["expires"] = []byte("soon")
		if _, err := kube.CoreV1().Secrets(namespace).Update(t.Context(), sec, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if works(s, KindToken, token) {
				return errors.New("works")
			}
			return nil
		})
	})

	t.Run("names that cannot be", func(t *testing.T) {
		namespace := e.Namespace(t)
		for _, name := range []string{"", "policy", "a b", "a:b", "-a", "é"} {
			if err := PutUser(t.Context(), kube, namespace, name, secret.New("pw"), nil); err == nil {
				t.Errorf("%q accepted", name)
			}
		}
		if err := PutUser(t.Context(), kube, namespace, "a", secret.New("pw"), []string{"system:masters"}); err == nil {
			t.Error("a group with a prefix accepted")
		}
		if err := PutUser(t.Context(), kube, namespace, "a", secret.New(""), nil); err == nil {
			t.Error("an empty password accepted")
		}
	})

	t.Run("reviewer", func(t *testing.T) {
		namespace := e.Namespace(t)
		e.Apply(t, fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: v, namespace: %[1]s}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'waybill:devs'}]\n", namespace))
		clock := clocktesting.NewFakeClock(time.Now())
		r := NewReviewer(kube, clock)
		alice, err := NewPerson("alice", []string{"devs"})
		if err != nil {
			t.Fatal(err)
		}
		bob, err := NewPerson("bob", nil)
		if err != nil {
			t.Fatal(err)
		}
		a := Action{Verb: "get", Resource: "configmaps", Namespace: namespace}
		eventually(t, func() error {
			clock.Step(believeYes)
			if yes, err := r.May(t.Context(), alice, a); err != nil || !yes {
				return fmt.Errorf("alice: %v %v", yes, err)
			}
			return nil
		})
		if yes, err := r.May(t.Context(), bob, a); err != nil || yes {
			t.Fatalf("bob: %v %v", yes, err)
		}
		// Believed for seconds, then asked again.
		if err := kube.RbacV1().RoleBindings(namespace).Delete(t.Context(), "v", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if yes, err := r.May(t.Context(), alice, a); err != nil || !yes {
			t.Fatalf("not believed: %v %v", yes, err)
		}
		eventually(t, func() error {
			clock.Step(believeYes)
			if yes, _ := r.May(t.Context(), alice, a); yes {
				return errors.New("still allowed")
			}
			return nil
		})
		if _, err := r.May(t.Context(), Person{User: "admin"}, a); err == nil {
			t.Fatal("asked for somebody without the prefix")
		}
	})
}
