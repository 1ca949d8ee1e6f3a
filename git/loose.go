package git

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/objfile"
)

// tmpDir is where everything is written before it is renamed into place. It is
// not Git's objects/pack: listing that directory while files in it come and go
// fails in go-git.
func (s *store) tmpDir() string { return filepath.Join(s.dir, "tmp") }

// write stores an object in a file of its own, unless it is there. The file
// appears whole.
func (r *reader) write(o plumbing.EncodedObject) error {
	h := Hash(o.Hash())
	if stored, err := r.has(h); stored || err != nil {
		return err
	}
	if err := r.writeLoose(h, o); err != nil {
		return fmt.Errorf("git mirror: write %s: %w", o.Type(), err)
	}
	return nil
}

func (r *reader) writeLoose(h Hash, o plumbing.EncodedObject) error {
	in, err := o.Reader()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	dir := filepath.Join(r.store.dir, "objects", h.String()[:2])
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return r.store.writeFile(filepath.Join(dir, h.String()[2:]), false, func(out io.Writer) error {
		w := objfile.NewWriter(out)
		err := w.WriteHeader(o.Type(), o.Size())
		if err == nil {
			_, err = io.Copy(w, in)
		}
		return errors.Join(err, w.Close())
	})
}

// writeFile makes a file appear whole, and on the disk when synced.
func (s *store) writeFile(path string, synced bool, write func(io.Writer) error) error {
	f, err := os.CreateTemp(s.tmpDir(), "file-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when renamed
	err = write(f)
	if err == nil && synced {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
