package identity

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

func TestImpersonate(t *testing.T) {
	base := &rest.Config{Host: "https://127.0.0.1:6443", BearerToken: "server"}
	for _, tc := range []struct {
		name, why string
		person    Person
		want      []string // groups; nil: refused
	}{
		{"person", "groups and system:authenticated, nothing else", Person{User: "waybill:alice", Groups: []string{"waybill:devs"}}, []string{"waybill:devs", "system:authenticated"}},
		{"no groups", "still authenticated", Person{User: "waybill:alice"}, []string{"system:authenticated"}},
		{"policy", "what Waybill does by itself", Policy(), []string{"system:authenticated"}},
		{"empty user", "would act as the server itself", Person{}, nil},
		{"only the prefix", "an empty name", Person{User: "waybill:"}, nil},
		{"cluster user", "no prefix", Person{User: "kubernetes-admin"}, nil},
		{"system user", "no prefix", Person{User: "system:admin"}, nil},
		{"two prefixes", "hides a system name", Person{User: "waybill:system:masters"}, nil},
		{"system group", "cluster-admin", Person{User: "waybill:alice", Groups: []string{"system:masters"}}, nil},
		{"one bad group among good", "none may slip through", Person{User: "waybill:alice", Groups: []string{"waybill:devs", "devs"}}, nil},
		{"empty group", "an empty name", Person{User: "waybill:alice", Groups: []string{""}}, nil},
		{"line break", "could forge a header", Person{User: "waybill:alice\r\nImpersonate-Group: system:masters"}, nil},
		{"space at the end", "looks like another", Person{User: "waybill:alice "}, nil},
		{"not UTF-8", "cannot be shown", Person{User: "waybill:\xff"}, nil},
		{"too long", "does not fit spec.by", Person{User: "waybill:" + strings.Repeat("a", 250)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Impersonate(base, tc.person)
			if tc.want == nil {
				if err == nil {
					t.Fatalf("accepted %+v (%s)", tc.person, tc.why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rest.ImpersonationConfig{UserName: tc.person.User, Groups: tc.want}, c.Impersonate); diff != "" {
				t.Fatalf("%s:\n%s", tc.why, diff)
			}
			if base.Impersonate.UserName != "" {
				t.Fatal("changed the base")
			}
		})
	}
	if _, err := Impersonate(&rest.Config{Impersonate: rest.ImpersonationConfig{UserName: "x"}}, Person{User: "waybill:alice"}); err == nil {
		t.Fatal("accepted a base that impersonates already")
	}
	if _, err := Impersonate(nil, Person{User: "waybill:alice"}); err == nil {
		t.Fatal("accepted no base")
	}
}

func TestNewPersonRefusesPolicy(t *testing.T) {
	if _, err := NewPerson("policy", nil); err == nil {
		t.Fatal(`a local user named "policy" would be Waybill itself`)
	}
}

func TestImpersonateDoesNotShareGroups(t *testing.T) {
	groups := make([]string, 1, 8)
	groups[0] = "waybill:a"
	p := Person{User: "waybill:alice", Groups: groups}
	first, err := Impersonate(&rest.Config{}, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Groups[0] = "waybill:b"
	if got := first.Impersonate.Groups; !slices.Equal(got, []string{"waybill:a", "system:authenticated"}) {
		t.Fatalf("groups follow the caller's slice: %v", got)
	}
}

// FuzzImpersonate: whatever comes in, nothing outside the prefix goes out, and
// nothing that a header could not carry.
func FuzzImpersonate(f *testing.F) {
	f.Add("waybill:alice", "waybill:devs")
	f.Add("", "")
	f.Add("waybill:", "system:masters")
	f.Add("Waybill:alice", "waybill: devs")
	f.Add("waybill:system:masters", "waybill:a\nb")
	f.Add("waybill:\u202eecila", "waybill:\x00")
	f.Fuzz(func(t *testing.T, user, group string) {
		c, err := Impersonate(&rest.Config{}, Person{User: user, Groups: []string{group}})
		if err != nil {
			return
		}
		if c.Impersonate.UID != "" || len(c.Impersonate.Extra) != 0 {
			t.Fatal("UID or extra set")
		}
		if got := c.Impersonate.Groups; len(got) != 2 || got[0] != group || got[1] != "system:authenticated" {
			t.Fatalf("groups %q", got)
		}
		for _, name := range []string{c.Impersonate.UserName, group} {
			rest, ok := strings.CutPrefix(name, "waybill:")
			if !ok || rest == "" || strings.Contains(rest, ":") || strings.ContainsAny(name, "\r\n\x00") {
				t.Fatalf("let %q through", name)
			}
		}
	})
}
