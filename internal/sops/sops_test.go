package sops_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/internal/sops"
)

// The files of testdata/enc were encrypted by sops 3.13.3, for the keys beside
// them; testdata/want is what that program decrypts them to. The keys are for
// these files alone.

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func keys(t testing.TB, names ...string) *sops.Keys {
	t.Helper()
	data := map[string][]byte{"README": []byte("left out")}
	for _, n := range names {
		data[n] = read(t, n)
	}
	k, err := sops.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestDecrypt reads what the real program wrote.
func TestDecrypt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want, key string }{
		{"age-secret.yaml", "secret.yaml", "test.agekey"},
		{"age-values.yaml", "values.yaml", "test.agekey"},
		{"age-multi.yaml", "multi.yaml", "test.agekey"},
		{"age-config.json", "config.json", "test.agekey"},
		{"age-app.env", "app.env", "test.agekey"},
		{"age-blob.bin", "blob.bin", "test.agekey"},
		{"age-note.txt", "note.txt", "test.agekey"},
		{"pgp-secret.yaml", "secret.yaml", "test.asc"},
		{"both-app.env", "app.env", "test.agekey"},
		{"both-app.env", "app.env", "test.asc"},
		{"regex-secret.yaml", "secret.yaml", "test.agekey"},
		{"unregex-secret.yaml", "secret.yaml", "test.agekey"},
		{"maconly-secret.yaml", "secret.yaml", "test.agekey"},
		{"suffix-secret.yaml", "secret.yaml", "test.agekey"},
	} {
		t.Run(c.file+" "+c.key, func(t *testing.T) {
			t.Parallel()
			content := read(t, "enc/"+c.file)
			if !sops.IsEncrypted(c.file, content) {
				t.Fatal("not taken for encrypted")
			}
			got, err := keys(t, c.key).Decrypt(c.file, content)
			if err != nil {
				t.Fatal(err)
			}
			want := read(t, "want/"+c.want)
			if sops.IsEncrypted(c.want, want) {
				t.Error("what is plain is taken for encrypted")
			}
			if diff := cmp.Diff(decoded(t, c.want, want), decoded(t, c.want, got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// decoded returns what a program that reads the file sees.
func decoded(t *testing.T, name string, content []byte) any {
	t.Helper()
	switch filepath.Ext(name) {
	case ".yaml":
		var out []any
		d := yaml.NewDecoder(bytes.NewReader(content))
		for {
			var v any
			if err := d.Decode(&v); err != nil {
				return out
			}
			out = append(out, v)
		}
	case ".json":
		return string(content)
	case ".env":
		var lines []string
		for _, l := range strings.Split(string(content), "\n") {
			if !strings.HasPrefix(l, "#") {
				lines = append(lines, l)
			}
		}
		return lines
	default:
		return string(content)
	}
}

// TestRefused: a file that was touched, or is not for us, gives a named error and
// no plain text, in neither the answer nor the error.
func TestRefused(t *testing.T) {
	t.Parallel()
	secret := string(read(t, "enc/age-secret.yaml"))
	regex := string(read(t, "enc/regex-secret.yaml"))
	line := func(text, key string) string {
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(l), key+":") {
				return l
			}
		}
		t.Fatalf("no line %q", key)
		return ""
	}
	value := func(l string) string { return strings.SplitN(l, ": ", 2)[1] }
	for _, c := range []struct {
		name, file, content string
		want                error
	}{
		{"a plain value changed", "a.yaml", strings.Replace(regex, "kind: Secret", "kind: ConfigMap", 1), sops.ErrDamaged},
		{"a key renamed", "a.yaml", strings.Replace(regex, "    port:", "    door:", 1), sops.ErrDamaged},
		{"two values swapped", "a.yaml", strings.NewReplacer(value(line(secret, "password")), value(line(secret, "port")), value(line(secret, "port")), value(line(secret, "password"))).Replace(secret), sops.ErrDamaged},
		{"a value removed", "a.yaml", strings.Replace(regex, line(regex, "port")+"\n", "", 1), sops.ErrDamaged},
		{"a value in plain text", "a.yaml", strings.Replace(secret, value(line(secret, "port")), "5432", 1), sops.ErrDamaged},
		{"no MAC", "a.yaml", strings.Replace(secret, line(secret, "mac")+"\n", "", 1), sops.ErrDamaged},
		{"an empty MAC", "a.yaml", strings.Replace(secret, value(line(secret, "mac")), `""`, 1), sops.ErrDamaged},
		{"another date", "a.yaml", strings.Replace(secret, `lastmodified: "20`, `lastmodified: "21`, 1), sops.ErrDamaged},
		{"another rule", "a.yaml", strings.Replace(regex, "encrypted_regex: ^(data|stringData)$", "encrypted_regex: ^nothing$", 1), sops.ErrDamaged},
		{"two rules", "a.yaml", strings.Replace(regex, "    encrypted_regex:", "    encrypted_suffix: x\n    encrypted_regex:", 1), sops.ErrFormat},
		{"a key group", "a.yaml", strings.Replace(secret, "\nsops:", "\nsops:\n    key_groups: [{}]", 1), sops.ErrFormat},
		{"chosen by comments", "a.yaml", string(read(t, "enc/refused-comments.yaml")), sops.ErrFormat},
		{"an alias", "a.yaml", "x: &x {}\ny: *x\n" + secret, sops.ErrFormat},
		{"for somebody else", "a.yaml", string(read(t, "enc/pgp-secret.yaml")), sops.ErrNoKey},
		{"a cloud's key", "a.yaml", secret[:strings.Index(secret, "\nsops:")] + "\nsops:\n    kms:\n    - arn: arn:aws:kms:x\n      enc: AQ\n    lastmodified: \"2026-11-21T16:49:27Z\"\n    mac: " + value(line(secret, "mac")) + "\n", sops.ErrKeyService},
		{"YAML called JSON", "a.json", secret, sops.ErrFormat},
		{"JSON called text", "a.txt", string(read(t, "enc/age-config.json")), sops.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := keys(t, "test.agekey").Decrypt(c.file, []byte(c.content))
			if !errors.Is(err, c.want) || got != nil {
				t.Fatalf("%q, %v; want %v", got, err, c.want)
			}
			if text := err.Error(); strings.Contains(text, "canary") || strings.Contains(text, "5432") || strings.Contains(text, "AGE-SECRET") {
				t.Errorf("the error says too much: %s", text)
			}
		})
	}
}

// TestParseKeys: what is no private key is named, and not repeated.
func TestParseKeys(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string][]byte{
		"none":           {"note.txt": []byte("x")},
		"a broken age":   {"a.agekey": []byte("AGE-SECRET-KEY-1CANARY")},
		"an empty age":   {"a.agekey": nil},
		"a broken PGP":   {"a.asc": []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\ncanary")},
		"an age as .asc": {"a.asc": read(t, "test.agekey")},
	} {
		_, err := sops.ParseKeys(data)
		if !errors.Is(err, sops.ErrBadKey) || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, b := keys(t, "test.agekey").ID(), keys(t, "test.asc").ID(); a == b || a != keys(t, "test.agekey").ID() {
		t.Errorf("%s, %s: the id tells keys apart", a, b)
	}
}

// FuzzDecrypt: nothing makes it panic, and nothing comes out beside an error.
func FuzzDecrypt(f *testing.F) {
	files, err := filepath.Glob("testdata/enc/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Ext(name), content)
	}
	f.Add(".json", []byte(`{"sops":{"mac":"ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]"}}`))
	k := keys(f, "test.agekey", "test.asc")
	f.Fuzz(func(t *testing.T, ext string, content []byte) {
		sops.IsEncrypted("a"+ext, content)
		out, err := k.Decrypt("a"+ext, content)
		if err != nil && out != nil {
			t.Errorf("%q beside %v", out, err)
		}
		if err == nil && filepath.Ext("a"+ext) == ".json" && !json.Valid(out) {
			t.Errorf("%q is no JSON", out)
		}
	})
}
