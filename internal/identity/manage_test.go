package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
)

// nobody manages users.
func nobody(context.Context, Person) (bool, error) { return false, nil }

// bosses manage users.
func bosses(_ context.Context, p Person) (bool, error) {
	return slices.Contains(p.Groups, Prefix+"bosses"), nil
}

// office is a Store with two who may manage users, ada and bob, and carol, who may not.
type office struct {
	*Store
	t         *testing.T
	kube      kubernetes.Interface
	namespace string
	clock     *clocktesting.FakeClock
}

func (o office) as(name string) Editor {
	return Editor{Kube: o.kube, Session: Session{User: name}, Manages: bosses}
}

func passwordOf(name string) secret.Text { return secret.New(name + " and her password") }

// signIn returns a token.
func (o office) signIn(name string, password secret.Text) (string, Session) {
	o.t.Helper()
	p, err := o.Login(o.t.Context(), name, password, "127.0.0.1:1")
	if err != nil {
		o.t.Fatal(err)
	}
	value, session, err := o.Create(o.t.Context(), p, Grant{Kind: KindToken})
	if err != nil {
		o.t.Fatal(err)
	}
	return value.Reveal(), session
}

func (o office) works(token string) bool {
	_, _, err := o.Authenticate(o.t.Context(), KindToken, token)
	return err == nil
}

func (o office) edit(by, name string, c UserChange) error {
	_, err := o.EditUser(o.t.Context(), o.as(by), name, c)
	return err
}

func TestManageUsers(t *testing.T) {
	e := env.Start(t, env.Options{})
	kube, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	open := func(t *testing.T) office {
		t.Helper()
		namespace := e.Namespace(t)
		for name, groups := range map[string][]string{"ada": {"bosses"}, "bob": {"bosses", "devs"}, "carol": {"devs"}} {
			if err := PutUser(t.Context(), kube, namespace, name, passwordOf(name), groups); err != nil {
				t.Fatal(err)
			}
		}
		clock := clocktesting.NewFakeClock(time.Now())
		s, _ := startStore(t, kube, namespace, clock)
		return office{s, t, kube, namespace, clock}
	}
	yes, no := true, false
	none, devs, both := []string{}, []string{"devs"}, []string{"devs", "bosses", "devs"}
	names := func(o office) string {
		var out []string
		for _, u := range o.Users() {
			text := u.Name + fmt.Sprint(u.Groups)
			if u.Disabled {
				text += "-"
			}
			out = append(out, text)
		}
		return strings.Join(out, " ")
	}

	t.Run("added, changed, removed", func(t *testing.T) {
		o := open(t)
		made, err := o.AddUser(t.Context(), o.as("ada"), "dora", passwordOf("dora"), both)
		if err != nil || made.Name != "dora" || fmt.Sprint(made.Groups) != "[bosses devs]" || made.Tag() == "" {
			t.Fatalf("%+v %v", made, err)
		}
		o.signIn("dora", passwordOf("dora"))
		if err := o.edit("ada", "dora", UserChange{Groups: &devs}); err != nil {
			t.Fatal(err)
		}
		if got := names(o); got != "ada[bosses] bob[bosses devs] carol[devs] dora[devs]" {
			t.Error(got)
		}
		if err := o.RemoveUser(t.Context(), o.as("ada"), "dora"); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{o.RemoveUser(t.Context(), o.as("ada"), "dora"), o.edit("ada", "dora", UserChange{Disabled: &yes}), o.edit("ada", "../x", UserChange{Disabled: &yes})} {
			if !errors.Is(err, ErrNoUser) {
				t.Error(err)
			}
		}
	})

	t.Run("what cannot be", func(t *testing.T) {
		o := open(t)
		for _, c := range []struct {
			field, name, password string
			groups                []string
		}{
			{"name", "a b", "long enough", nil}, {"name", "policy", "long enough", nil}, {"name", "", "long enough", nil}, {"name", "a:b", "long enough", nil},
			{"groups", "dora", "long enough", []string{"system:masters"}}, {"groups", "dora", "long enough", []string{""}},
			{"password", "dora", "", nil}, {"password", "dora", "7 chars", nil}, {"password", "dora", "äöüäöüä", nil},
			{"password", "dora", strings.Repeat("x", maxPasswordBytes+1), nil}, {"password", "dora.field", "Dora.Field", nil},
		} {
			var invalid *InvalidUserError
			_, err := o.AddUser(t.Context(), o.as("ada"), c.name, secret.New(c.password), c.groups)
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%+v: %v", c, err)
			}
			if c.password != "" && err != nil && strings.Contains(err.Error(), c.password) {
				t.Errorf("%v repeats the password", err)
			}
		}
		for _, name := range []string{"ada", "ADA"} {
			var there *UserExistsError
			if _, err := o.AddUser(t.Context(), o.as("ada"), name, passwordOf("x"), nil); !errors.As(err, &there) || there.Name != "ada" {
				t.Errorf("%s: %v", name, err)
			}
		}
		var invalid *InvalidUserError
		if err := o.edit("ada", "carol", UserChange{Groups: &[]string{"a:b"}}); !errors.As(err, &invalid) {
			t.Error(err)
		}
		if got := names(o); got != "ada[bosses] bob[bosses devs] carol[devs]" {
			t.Error(got)
		}
	})

	t.Run("whoever gets a name that somebody had does not get their tokens", func(t *testing.T) {
		o := open(t)
		token, session := o.signIn("carol", passwordOf("carol"))
		kept, err := kube.CoreV1().Secrets(o.namespace).Get(t.Context(), session.secretName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.RemoveUser(t.Context(), o.as("ada"), "carol"); err != nil {
			t.Fatal(err)
		}
		if o.works(token) {
			t.Error("a removed user's token works")
		}
		// As if it could not be deleted.
		o.mu.Lock()
		clear(o.revoked)
		o.mu.Unlock()
		eventually(t, func() error {
			_, err := kube.CoreV1().Secrets(o.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: kept.Name, Labels: kept.Labels}, Data: kept.Data}, metav1.CreateOptions{})
			return err
		})
		if _, err := o.AddUser(t.Context(), o.as("ada"), "carol", passwordOf("carol"), none); err != nil {
			t.Fatal(err)
		}
		if o.works(token) {
			t.Error("the token of somebody who was removed works for who has the name now")
		}
		fresh, _ := o.signIn("carol", passwordOf("carol"))
		if !o.works(fresh) {
			t.Error("a new token does not work")
		}
		// It is tidied up once it was not used for a while; the good one stays.
		o.clock.Step(touchEvery)
		if !o.works(fresh) {
			t.Error("the new token has ended")
		}
		o.clean(t.Context())
		if _, err := kube.CoreV1().Secrets(o.namespace).Get(t.Context(), session.secretName, metav1.GetOptions{}); err == nil {
			t.Error("what has ended is kept for ever")
		}
		if !o.works(fresh) {
			t.Error("the new token was tidied up")
		}
	})

	t.Run("disabled at once, and for good", func(t *testing.T) {
		o := open(t)
		second, _ := startStore(t, kube, o.namespace, o.clock)
		token, session := o.signIn("carol", passwordOf("carol"))
		if err := o.edit("ada", "carol", UserChange{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if o.works(token) || len(o.List(session)) != 0 {
			t.Error("the session of a disabled user works")
		}
		eventually(t, func() error {
			if _, _, err := second.Authenticate(t.Context(), KindToken, token); err == nil {
				return errors.New("it works at another replica")
			}
			return nil
		})
		if _, err := o.Login(t.Context(), "carol", passwordOf("carol"), "127.0.0.1:1"); !errors.Is(err, ErrWrongCredentials) {
			t.Error(err)
		}
		if err := o.edit("ada", "carol", UserChange{Disabled: &no}); err != nil {
			t.Fatal(err)
		}
		if o.works(token) {
			t.Error("enabling somebody brings old sessions back")
		}
		o.signIn("carol", passwordOf("carol"))
	})

	t.Run("another password ends sessions, but for the one it was changed in", func(t *testing.T) {
		o := open(t)
		own, session := o.signIn("carol", passwordOf("carol"))
		other, _ := o.signIn("carol", passwordOf("carol"))
		adas, _ := o.signIn("ada", passwordOf("ada"))
		next := secret.New("carol's next password")
		var invalid *InvalidUserError
		for _, short := range []string{"", "short", passwordOf("carol").Reveal()} {
			if err := o.ChangePassword(t.Context(), session, passwordOf("carol"), secret.New(short), "127.0.0.1:1"); !errors.As(err, &invalid) {
				t.Errorf("%q: %v", short, err)
			}
		}
		if err := o.ChangePassword(t.Context(), Session{User: "carol", Issuer: "https://login.example.com"}, passwordOf("carol"), next, "127.0.0.1:1"); !errors.Is(err, ErrNotLocal) {
			t.Error(err)
		}
		if err := o.ChangePassword(t.Context(), session, secret.New("a guess"), next, "127.0.0.1:1"); !errors.Is(err, ErrWrongPassword) {
			t.Error(err)
		}
		if err := o.ChangePassword(t.Context(), session, passwordOf("carol"), next, "127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		if !o.works(own) || o.works(other) || !o.works(adas) {
			t.Errorf("own %v, other %v, ada's %v", o.works(own), o.works(other), o.works(adas))
		}
		if _, err := o.Login(t.Context(), "carol", passwordOf("carol"), "127.0.0.1:1"); !errors.Is(err, ErrWrongCredentials) {
			t.Errorf("the old password: %v", err)
		}
		// What the session that was kept makes is as good as itself; an administrator ends all.
		p, _, err := o.Authenticate(t.Context(), KindToken, own)
		if err != nil {
			t.Fatal(err)
		}
		child, _, err := o.Create(t.Context(), p, Grant{Kind: KindToken})
		if err != nil || !o.works(child.Reveal()) {
			t.Fatal(err)
		}
		if err := o.edit("ada", "carol", UserChange{Password: passwordOf("new carol")}); err != nil {
			t.Fatal(err)
		}
		if o.works(own) || o.works(child.Reveal()) || !o.works(adas) {
			t.Error("sessions outlive a password that an administrator has set, or others do not")
		}
		o.signIn("carol", passwordOf("new carol"))
	})

	t.Run("guessing the old password is slowed down as signing in is", func(t *testing.T) {
		o := open(t)
		_, session := o.signIn("carol", passwordOf("carol"))
		var tooMany *TooManyError
		for i := range freePerPair + 1 {
			err := o.ChangePassword(t.Context(), session, secret.New("a guess"), passwordOf("next"), "127.0.0.1:1")
			if i < freePerPair && !errors.Is(err, ErrWrongPassword) || i == freePerPair && !errors.As(err, &tooMany) {
				t.Errorf("attempt %d: %v", i, err)
			}
		}
		if _, err := o.Login(t.Context(), "carol", passwordOf("carol"), "127.0.0.1:1"); !errors.As(err, &tooMany) {
			t.Errorf("signing in is another count: %v", err)
		}
	})

	t.Run("nobody locks himself out", func(t *testing.T) {
		o := open(t)
		for what, err := range map[string]error{
			"removes": o.RemoveUser(t.Context(), o.as("ada"), "ada"), "disables": o.edit("ada", "ada", UserChange{Disabled: &yes}),
			"sets": o.edit("ada", "ada", UserChange{Password: passwordOf("next")}),
		} {
			if !errors.Is(err, ErrOneself) {
				t.Errorf("ada %s: %v", what, err)
			}
		}
		// Somebody of an identity provider who has the name is somebody else.
		if err := o.RemoveUser(t.Context(), Editor{Kube: kube, Session: Session{User: "carol", Issuer: "https://login.example.com"}, Manages: bosses}, "carol"); err != nil {
			t.Error(err)
		}
	})

	t.Run("the last who manages users stays", func(t *testing.T) {
		o := open(t)
		if err := o.edit("ada", "ada", UserChange{Groups: &none}); err != nil {
			t.Fatalf("bob is left: %v", err)
		}
		for what, err := range map[string]error{
			"removed": o.RemoveUser(t.Context(), o.as("outsider"), "bob"), "disabled": o.edit("outsider", "bob", UserChange{Disabled: &yes}),
			"moved": o.edit("outsider", "bob", UserChange{Groups: &devs}), "moved by himself": o.edit("bob", "bob", UserChange{Groups: &none}),
		} {
			if !errors.Is(err, ErrLastManager) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := o.edit("ada", "bob", UserChange{Groups: &both, Password: passwordOf("next")}); err != nil {
			t.Errorf("who stays what he is: %v", err)
		}
		if err := o.edit("ada", "carol", UserChange{Disabled: &yes}); err != nil {
			t.Errorf("who manages nothing: %v", err)
		}
		ask := o.as("outsider")
		ask.Manages = func(context.Context, Person) (bool, error) { return false, errors.New("no answer") }
		if err := o.RemoveUser(t.Context(), ask, "bob"); err == nil || errors.Is(err, ErrLastManager) {
			t.Errorf("without an answer: %v", err)
		}
		ask = o.as("outsider")
		ask.Forced = true
		if err := o.RemoveUser(t.Context(), ask, "bob"); err != nil {
			t.Errorf("forced: %v", err)
		}
		if got := names(o); got != "ada[] carol[devs]-" {
			t.Error(got)
		}
	})

	t.Run("two who remove each other at once", func(t *testing.T) {
		o := open(t)
		second, _ := startStore(t, kube, o.namespace, o.clock)
		var wg sync.WaitGroup
		var first, other error
		wg.Go(func() { first = o.RemoveUser(t.Context(), o.as("ada"), "bob") })
		wg.Go(func() { other = second.RemoveUser(t.Context(), o.as("bob"), "ada") })
		wg.Wait()
		if (first == nil) == (other == nil) || !errors.Is(errors.Join(first, other), ErrLastManager) {
			t.Fatalf("%v, %v", first, other)
		}
	})

	t.Run("changes at once all hold, or somebody is told", func(t *testing.T) {
		o := open(t)
		second, _ := startStore(t, kube, o.namespace, o.clock)
		var wg sync.WaitGroup
		var groups, disabled error
		wg.Go(func() { groups = o.edit("ada", "carol", UserChange{Groups: &both}) })
		wg.Go(func() {
			_, disabled = second.EditUser(t.Context(), o.as("bob"), "carol", UserChange{Disabled: &yes})
		})
		wg.Wait()
		eventually(t, func() error {
			if got := names(o); groups != nil || disabled != nil || got != "ada[bosses] bob[bosses devs] carol[bosses devs]-" {
				return fmt.Errorf("%v %v %s", groups, disabled, got)
			}
			return nil
		})
		seen := o.Users()[2].Tag()
		same := func(u LocalUser) bool { return u.Tag() == seen }
		if err := o.edit("ada", "carol", UserChange{Groups: &devs, Expected: same}); err != nil {
			t.Fatal(err)
		}
		if err := o.edit("bob", "carol", UserChange{Groups: &none, Expected: same}); !errors.Is(err, ErrUserChanged) {
			t.Error(err)
		}
	})

	t.Run("users of before, and entries that nobody can read", func(t *testing.T) {
		o := open(t)
		_, err := editUsers(t.Context(), kube, o.namespace, func(data map[string][]byte) error {
			u, _, err := parseUser(data, "carol")
			u.Epoch = ""
			data["broken"] = []byte(`{"hash": canary`)
			return errors.Join(err, u.putInto(data, "carol"))
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if len(o.Users()) != 4 {
				return fmt.Errorf("%+v", o.Users())
			}
			return nil
		})
		if u := o.Users()[1]; u.Name != "bob" || o.Users()[2].Name != "broken" || o.Users()[2].Problem == "" || strings.Contains(o.Users()[2].Problem, "canary") {
			t.Errorf("%+v", o.Users())
		}
		token, _ := o.signIn("carol", passwordOf("carol"))
		if !o.works(token) {
			t.Error("the token of a user without an epoch does not work")
		}
		if err := o.edit("ada", "carol", UserChange{Groups: &both}); err != nil || !o.works(token) {
			t.Errorf("other groups end it: %v", err)
		}
		var invalid *InvalidUserError
		if err := o.edit("ada", "broken", UserChange{Groups: &both}); !errors.As(err, &invalid) {
			t.Error(err)
		}
		if err := o.RemoveUser(t.Context(), o.as("ada"), "broken"); err != nil {
			t.Error(err)
		}
		if err := o.edit("ada", "carol", UserChange{Password: passwordOf("next")}); err != nil || o.works(token) {
			t.Errorf("another password does not end it: %v", err)
		}
	})

	t.Run("install again", func(t *testing.T) {
		o := open(t)
		token, _ := o.signIn("ada", passwordOf("ada"))
		put := func(password secret.Text) {
			t.Helper()
			if err := PutUser(t.Context(), kube, o.namespace, "ada", password, []string{"bosses", "crew"}); err != nil {
				t.Fatal(err)
			}
		}
		put(passwordOf("ada"))
		eventually(t, func() error {
			if p, _, err := o.Authenticate(t.Context(), KindToken, token); err != nil || len(p.Groups) != 2 {
				return fmt.Errorf("%v %v", p, err)
			}
			return nil
		})
		if err := o.edit("bob", "ada", UserChange{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		put(passwordOf("next"))
		eventually(t, func() error {
			_, err := o.Login(t.Context(), "ada", passwordOf("next"), "127.0.0.1:1")
			return err
		})
		if o.works(token) {
			t.Error("another password does not end it")
		}
	})
}
