package rest

import (
	"context"
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestRenameFreight: who may change Freight gives it another alias, as
// themselves; the label follows, and no name comes to mean two things.
func TestRenameFreight(t *testing.T) {
	f := newProject(t)
	path := "/api/v1/projects/" + f.name + "/freight/"
	admin := shared.as(t, "admin")
	var old, renamed model.Freight
	admin.get(t, path+"1.27.0", &old)
	admin.do(t, "PATCH", path+"1.27.0", model.RenameFreightRequest{Alias: "spring-release"}).into(t, &renamed)
	if renamed.Alias != "spring-release" || renamed.Name != old.Name {
		t.Errorf("renamed %+v", renamed)
	}
	var stored v1alpha1.Freight
	if err := shared.admin.Get(context.Background(), client.ObjectKey{Namespace: f.name, Name: old.Name}, &stored); err != nil {
		t.Fatal(err)
	}
	if stored.Alias != "spring-release" || stored.Labels[v1alpha1.LabelAlias] != "spring-release" {
		t.Errorf("stored %q with the label %q", stored.Alias, stored.Labels[v1alpha1.LabelAlias])
	}
	eventually(t, func() error {
		var found model.Freight
		admin.get(t, path+"spring-release", &found)
		if found.Name != old.Name {
			return fmt.Errorf("spring-release is %q", found.Name)
		}
		return nil
	})
	var other model.Freight
	admin.get(t, path+"1.26.0", &other)
	for _, c := range []struct {
		why, as, alias string
		code           model.ProblemCode
	}{
		{"another's alias", "admin", other.Alias, model.Conflict},
		{"another's version", "admin", "1-26-0", ""},
		{"the beginning of another's name", "admin", other.Name[:10], model.Conflict},
		{"a word with a meaning", "admin", "latest", model.InvalidRequest},
		{"no name", "admin", "Spring Release", model.InvalidRequest},
		{"a promoter", "alice", "mine", model.Forbidden},
		{"a stranger", "mallory", "mine", model.NotFound},
	} {
		got := shared.as(t, c.as).do(t, "PATCH", path+old.Name, model.RenameFreightRequest{Alias: c.alias})
		if c.code == "" {
			if got.status != 200 {
				t.Errorf("%s: %d %s", c.why, got.status, got.body)
			}
			continue
		}
		if p := got.problem(t); p.Code != c.code {
			t.Errorf("%s: %+v", c.why, p)
		}
	}
}
