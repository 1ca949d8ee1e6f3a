package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

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
	quoted := secret.New(`a"b<c>&d\e`)
	for _, in := range []string{`a"b<c>&d\e`, `"a\"b<c>&d\\e"`, `a&#34;b&lt;c&gt;&amp;d\e`, `"a\"b\u003cc\u003e\u0026d\\e"`} {
		if got := secret.Redact(in, quoted); !strings.Contains(got, "***") || strings.Contains(got, "b") {
			t.Errorf("escaped: %s of %s", got, in)
		}
	}
	s := secret.New("pa ss/wörd")
	for _, c := range []struct{ why, in, want string }{
		{"plain", "login with pa ss/wörd failed", "login with *** failed"},
		{"query-escaped", "x=pa+ss%2Fw%C3%B6rd", "x=***"},
		{"base64", "Basic cGEgc3Mvd8O2cmQ=", "Basic ***"},
		{"user info of any URL", "get https://me:tok@git.example/x: 401", "get https://***@git.example/x: 401"},
		{"a server that repeats the header", "bad header Basic Ym90OnBhIHNzL3fDtnJk", "bad header Basic Ym90On***"},
		{"behind two bytes", "bad header eDpwYSBzcy93w7ZyZA==", "bad header eDp***A=="},
		{"as JSON", `{"p":"pa ss/w\u00f6rd"}`, `{"p":"pa ss/w\u00f6rd"}`},
		{"cut off at the end", "remote: you sent pa ss/w…", "remote: you sent ***…"},
		{"cut off in base64", "remote: cGEgc3Mvd8O2", "remote: ***"},
		{"the beginning of a word only", "we pa", "we pa"},
		{"nothing to hide", "all is well", "all is well"},
	} {
		if got := secret.Redact(c.in, s); got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}

// FuzzRedact: no form of the secret is left, wherever it stands.
func FuzzRedact(f *testing.F) {
	f.Add("before ", "hunter22", " after", 0)
	f.Add("", "pa55-w0rd/of+the=robot", "", 2)
	f.Add("\"", "quo\"te\\d", "\"", 1)
	f.Add("https://", "t0ken-value", "@host/x", 0)
	f.Fuzz(func(t *testing.T, before, value, after string, pad int) {
		if len(value) < 8 || pad < 0 || pad > 64 || !utf8.ValidString(value) || strings.Contains("***", value) || strings.Contains(value, "*") {
			t.Skip()
		}
		basic := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", pad) + ":" + value))
		text := before + value + after + " " + url.QueryEscape(value) + " " + basic + " " + strconv.Quote(value)
		got := secret.Redact(text, secret.New(value))
		if strings.Contains(got, value) {
			t.Errorf("%q is left in %q", value, got)
		}
		// Of a Basic header no more than the characters at the seams is left.
		for _, word := range strings.Fields(got) {
			raw, err := base64.StdEncoding.DecodeString(word)
			if err == nil && strings.Contains(string(raw), value) {
				t.Errorf("%q decodes to %q", word, raw)
			}
		}
	})
}
