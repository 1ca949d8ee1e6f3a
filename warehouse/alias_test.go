package warehouse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func TestCheckAlias(t *testing.T) {
	mine, other := v1alpha1.Freight{}, v1alpha1.Freight{Alias: "amber-heron"}
	mine.Name, other.Name = "aaaaaaaaaa", "bbbbbbbbbb"
	other.Images = []v1alpha1.Image{{RepoURL: "registry.example/app", Tag: "stable-7", Digest: "sha256:1"}}
	other.Commits = []v1alpha1.Commit{{RepoURL: "https://git.example/app.git", ID: "0123456789abcdef0123456789abcdef01234567"}}
	for _, tt := range []struct {
		alias string
		want  error
	}{
		{"spring-release", nil},
		{"aaaaaaaa", nil}, // the start of its own name finds it as well
		{"amber-heron", warehouse.ErrAliasTaken},
		{"stable-7", warehouse.ErrAliasTaken},
		{"0123456789", warehouse.ErrAliasTaken},
		{"bbbbb", warehouse.ErrAliasTaken},
		{"bbbb", nil},
		{"latest", warehouse.ErrAliasInvalid},
		{"prev", warehouse.ErrAliasInvalid},
		{"", warehouse.ErrAliasInvalid},
		{"Spring", warehouse.ErrAliasInvalid},
		{"-a", warehouse.ErrAliasInvalid},
		{strings.Repeat("a", 64), warehouse.ErrAliasInvalid},
	} {
		if err := warehouse.CheckAlias(tt.alias, mine.Name, []v1alpha1.Freight{mine, other}); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.alias, err, tt.want)
		}
	}
}
