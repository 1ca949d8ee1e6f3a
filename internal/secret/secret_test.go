package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/secret"
)

func TestTextNeverShowsItsValue(t *testing.T) {
	const value = "s3cr3t/pass word"
	s := secret.New(value)
	js, err := json.Marshal(map[string]any{"a": s, "b": &s})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"%s": fmt.Sprintf("%s", s), "%v": fmt.Sprintf("%v", s), "%+v": fmt.Sprintf("%+v", struct{ S secret.Text }{s}),
		"%#v": fmt.Sprintf("%#v", s), "json": string(js),
	} {
		if strings.Contains(got, value) || !strings.Contains(got, "***") {
			t.Errorf("%s prints %q", name, got)
		}
	}
}

func TestRedact(t *testing.T) {
	s := secret.New("pa ss/wörd")
	for _, c := range []struct{ why, in, want string }{
		{"plain", "login with pa ss/wörd failed", "login with *** failed"},
		{"query-escaped", "x=pa+ss%2Fw%C3%B6rd", "x=***"},
		{"base64", "Basic cGEgc3Mvd8O2cmQ=", "Basic ***"},
		{"user info of any URL", "get https://me:tok@git.example/x: 401", "get https://***@git.example/x: 401"},
		{"nothing to hide", "all is well", "all is well"},
	} {
		if got := secret.Redact(c.in, s); got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}
