package git

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git's choice.
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"
)

// FuzzRefName: what is taken for a branch is one to every program that reads it, and
// leads nowhere else as the path of a file.
func FuzzRefName(f *testing.F) {
	for _, name := range []string{"main", "stage/test", "a..b", "-x", "a/.b", "a.lock/b", "a@{1}", "@", "HEAD", "refs/heads/a", "a\x00b", "a//b", "/a", "a/", "\u2028", "a\\b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := ValidateBranch(name); err != nil {
			if !errors.Is(err, ErrInvalidBranch) {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if len(name) > maxBranchBytes || strings.ContainsAny(name, " ~^:?*[\\\x00\x7f\n\r\t") || strings.Contains(name, "..") || strings.Contains(name, "@{") {
			t.Errorf("%q is taken", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
				t.Errorf("%q is taken, with the part %q", name, part)
			}
		}
	})
}

// FuzzMessage: no message and no value can add, change or hide a trailer of
// ours.
func FuzzMessage(f *testing.F) {
	f.Add("subject\n\nWaybill-Freight: x", "value")
	f.Add("subject\r\n\r\nWaybill-Freight : x\n", "a\nWaybill-Stage: b")
	f.Add("s\n\n\u2028Waybill-Freight: x", "\x00")
	f.Add("s\n\n\t> Waybill-Freight:x", "")
	f.Fuzz(func(t *testing.T, message, value string) {
		with, err := CommitSpec{Message: message, Trailers: []Trailer{{"Waybill-Stage", value}}}.text()
		if err != nil {
			return
		}
		got := parseTrailers(with)
		if len(got) != 1 || got[0].Key != "Waybill-Stage" {
			t.Fatalf("%q gives trailers %q", with, got)
		}
		without, err := CommitSpec{Message: message}.text()
		if err != nil {
			t.Fatal(err)
		}
		for _, trailer := range parseTrailers(without) {
			if strings.HasPrefix(strings.ToLower(trailer.Key), "waybill-") {
				t.Fatalf("%q gives trailer %q", without, trailer)
			}
		}
	})
}

// FuzzIngest: whatever a server sends as a pack is stored or refused. The
// checksum at its end is made right, so that what lies behind it is reached.
func FuzzIngest(f *testing.F) {
	storage := memory.NewStorage()
	var hashes []plumbing.Hash
	for _, content := range []string{"one", strings.Repeat("some lines that make a delta\n", 40), strings.Repeat("some lines that make a delta\n", 41)} {
		o := &plumbing.MemoryObject{}
		o.SetType(plumbing.BlobObject)
		_, _ = o.Write([]byte(content))
		h, err := storage.SetEncodedObject(o)
		if err != nil {
			f.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	for _, window := range []uint{0, 10} {
		for _, refDeltas := range []bool{false, true} {
			var pack bytes.Buffer
			if _, err := packfile.NewEncoder(&pack, storage, refDeltas).Encode(hashes, window); err != nil {
				f.Fatal(err)
			}
			f.Add(pack.Bytes()[:pack.Len()-sha1.Size])
		}
	}
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, pack []byte) {
		limits := Limits{ObjectBytes: 1 << 20, PackObjects: 1000}.withDefaults()
		s := newStore(filepath.Join(t.TempDir(), "mirror"), limits)
		if err := s.prepare(); err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum(pack) //nolint:gosec // Git's choice.
		err := s.ingest(t.Context(), bytes.NewReader(append(bytes.Clone(pack), sum[:]...)))
		if err != nil && !errors.Is(err, errBadPack) && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		left, err := os.ReadDir(s.tmpDir())
		if err != nil || len(left) != 0 {
			t.Fatalf("left behind %v, %v", left, err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "99999999": time.Hour, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "99999999999999999999": 0,
	} {
		if got := retryAfter(header); got != want {
			t.Errorf("%q: got %s, want %s", header, got, want)
		}
	}
}

func TestOvergrownMirrorIsBuiltAnew(t *testing.T) {
	s := newStore(filepath.Join(t.TempDir(), "mirror"), Limits{}.withDefaults())
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "objects", "17")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range maxLooseObjects/256 + 1 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("a", 30)+string(rune('0'+i%10))+string(rune('a'+i/10%26))+string(rune('a'+i/260))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old objects are still there: %v", err)
	}
}
