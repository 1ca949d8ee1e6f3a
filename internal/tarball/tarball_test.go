package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var small = Limits{Files: 3, FileBytes: 1 << 10, Bytes: 2 << 10}

func pack(t testing.TB, isZipped bool, entries ...tar.Header) []byte {
	t.Helper()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !isZipped {
		return plain.Bytes()
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadReturnsWhatWriteWrote(t *testing.T) {
	want := []File{{Name: "a/Chart.yaml", Content: []byte("name: a\n")}, {Name: "a/run.sh", IsExecutable: true, Content: []byte{}}}
	raw, err := Write(want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Write(want)
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("the same files give other bytes: %v", err)
	}
	got, err := Read(raw, small)
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
}

func TestReadRefuses(t *testing.T) {
	for why, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"no archive":          {[]byte("hello"), ErrInvalid},
		"damaged gzip":        {[]byte{0x1f, 0x8b, 1, 2, 3}, ErrInvalid},
		"cut off":             {pack(t, false, tar.Header{Name: "a", Size: 900})[:700], ErrInvalid},
		"traversal":           {pack(t, true, tar.Header{Name: "../a"}), ErrUnsafe},
		"traversal inside":    {pack(t, true, tar.Header{Name: "a/../../b"}), ErrUnsafe},
		"absolute":            {pack(t, true, tar.Header{Name: "/etc/passwd"}), ErrUnsafe},
		"backslash":           {pack(t, true, tar.Header{Name: `a\..\b`}), ErrUnsafe},
		"symbolic link":       {pack(t, true, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), ErrUnsafe},
		"hard link":           {pack(t, true, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}), ErrUnsafe},
		"device":              {pack(t, true, tar.Header{Name: "a", Typeflag: tar.TypeChar}), ErrUnsafe},
		"pipe":                {pack(t, true, tar.Header{Name: "a", Typeflag: tar.TypeFifo}), ErrUnsafe},
		"large file":          {pack(t, true, tar.Header{Name: "a", Size: 1025}), ErrTooLarge},
		"large together":      {pack(t, true, tar.Header{Name: "a", Size: 1000}, tar.Header{Name: "b", Size: 1000}, tar.Header{Name: "c", Size: 1000}), ErrTooLarge},
		"many":                {pack(t, true, tar.Header{Name: "a"}, tar.Header{Name: "b"}, tar.Header{Name: "c"}, tar.Header{Name: "d"}), ErrTooLarge},
		"bomb of folders":     {pack(t, true, folders(100)...), ErrTooLarge},
		"bomb of header text": {pack(t, true, tar.Header{Name: "a", PAXRecords: map[string]string{"W.x": strings.Repeat("x", 8<<10)}}), ErrTooLarge},
	} {
		if got, err := Read(c.raw, small); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %v, %v", why, got, err)
		}
	}
}

func folders(n int) []tar.Header {
	out := make([]tar.Header, n)
	for i := range out {
		out[i] = tar.Header{Name: "a/", Typeflag: tar.TypeDir}
	}
	return out
}

// Whatever an archive holds, what comes out is within the limits and stays inside.
func FuzzRead(f *testing.F) {
	f.Add(pack(f, true, tar.Header{Name: "a/b", Size: 3}))
	f.Add(pack(f, false, tar.Header{Name: "a/b", Size: 3}, tar.Header{Name: "../c"}))
	f.Add(pack(f, false, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Read(raw, small)
		if err != nil && got != nil {
			t.Error("files beside an error")
		}
		total := 0
		for _, file := range got {
			total += len(file.Content)
			if file.Name != path.Clean(file.Name) || path.IsAbs(file.Name) || file.Name == ".." || strings.HasPrefix(file.Name, "../") || len(file.Content) > 1<<10 {
				t.Errorf("%q of %d bytes", file.Name, len(file.Content))
			}
		}
		if len(got) > small.Files || total > int(small.Bytes) {
			t.Errorf("%d files, %d bytes", len(got), total)
		}
	})
}
