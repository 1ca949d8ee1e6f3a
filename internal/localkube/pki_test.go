package localkube

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAuthorityIsKeptUntilItsLeavesWouldOutliveIt(t *testing.T) {
	dir := t.TempDir()
	birthday := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	load := func(now time.Time) *authority {
		t.Helper()
		a, err := loadAuthority(dir, "ca", now)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := load(birthday)
	if again := load(birthday.AddDate(6, 0, 0)); !bytes.Equal(again.cert, first.cert) {
		t.Error("after 6 years: another authority")
	}
	late := birthday.AddDate(8, 0, 0)
	renewed := load(late)
	if bytes.Equal(renewed.cert, first.cert) {
		t.Error("after 8 years: the same authority, which ends before a new certificate would")
	}

	leaf, err := renewed.client("alice", []string{"b", "a"}, late)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(leaf.cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(renewed.parsed)
	for why, tc := range map[string]struct {
		now   time.Time
		usage x509.ExtKeyUsage
		valid bool
	}{
		"now":                  {late, x509.ExtKeyUsageClientAuth, true},
		"in three years, less": {late.Add(leafLife - time.Minute), x509.ExtKeyUsageClientAuth, true},
		"later":                {late.Add(leafLife + time.Minute), x509.ExtKeyUsageClientAuth, false},
		"as a server":          {late, x509.ExtKeyUsageServerAuth, false},
	} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: tc.now, KeyUsages: []x509.ExtKeyUsage{tc.usage}})
		if (err == nil) != tc.valid {
			t.Errorf("%s: %v, want valid %v", why, err, tc.valid)
		}
	}
	if cert.Subject.CommonName != "alice" || len(cert.Subject.Organization) != 2 {
		t.Errorf("subject %v", cert.Subject)
	}
}

func TestServiceAccountKeyIsKept(t *testing.T) {
	dir := t.TempDir()
	key, public := filepath.Join(dir, "sa.key"), filepath.Join(dir, "sa.pub")
	read := func() string {
		t.Helper()
		if err := loadServiceAccountKey(key, public); err != nil {
			t.Fatal(err)
		}
		k, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.ReadFile(public)
		if err != nil {
			t.Fatal(err)
		}
		return string(k) + string(p)
	}
	first := read()
	if err := os.Remove(public); err != nil { // as if killed between the two
		t.Fatal(err)
	}
	if read() != first {
		t.Error("another key: every service-account token would be refused")
	}
}

func TestSecretsAreTheOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for range 2 { // made, and replaced
		if err := writeFile(path, []byte("k"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files %v, want one", files)
	}
}

func TestClientFileTellsIdentitiesApart(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range [][]string{{"a"}, {"a", "g"}, {"a", "g", "h"}, {"a", "g h"}, {"a/"}, {"a:"}, {"../a"}} {
		name := clientFile(id[0], id[1:])
		if seen[name] || filepath.Base(name) != name {
			t.Errorf("%q: file name %q", id, name)
		}
		seen[name] = true
	}
}
