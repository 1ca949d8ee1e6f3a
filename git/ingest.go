package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A pack up to these sizes is unpacked into one file per object, as git does
// (fetch.unpackLimit): many small packs would make every look-up slow.
const (
	unpackObjects = 400
	unpackBytes   = 8 << 20
)

// errBadPack marks a pack that is not what was asked for.
var errBadPack = errors.New("the pack is cut off or malformed")

// ingest stores a pack. Nothing of it is visible until it has been checked and
// is whole. The caller holds the writer slot.
func (s *store) ingest(ctx context.Context, pack io.Reader) error {
	spool, err := os.CreateTemp(s.tmpDir(), "pack-")
	if err != nil {
		return s.diskError(err)
	}
	defer func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name()) // gone already when it became a pack
	}()
	size, err := copyPack(spool, pack)
	if err != nil {
		return err
	}
	count, err := s.survey(ctx, spool)
	if err != nil {
		return err
	}
	if count <= unpackObjects && size <= unpackBytes {
		return s.unpack(spool)
	}
	return s.keepPack(spool)
}

// copyPack spools the pack, telling errors of the remote from those of the disk.
func copyPack(spool *os.File, pack io.Reader) (int64, error) {
	source := &sourceErrors{r: pack}
	size, err := io.Copy(spool, source)
	if err != nil && source.err == nil {
		return 0, fmt.Errorf("git mirror: %w", err)
	}
	return size, err
}

type sourceErrors struct {
	r   io.Reader
	err error
}

func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// survey reads the pack once and returns its number of objects. It checks the
// checksum and every size an object claims before anything is unpacked into
// memory: a few bytes can claim gigabytes.
func (s *store) survey(ctx context.Context, spool *os.File) (int, error) {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return 0, s.diskError(err)
	}
	scanner := packfile.NewScanner(spool)
	_, count, err := scanner.Header()
	if err != nil {
		return 0, errBadPack
	}
	if int64(count) > int64(s.limits.PackObjects) {
		return 0, fmt.Errorf("%w: a pack of %d objects, %d are allowed", ErrTooLarge, count, s.limits.PackObjects)
	}
	for range count {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return 0, errBadPack
		}
		if header.Length > s.limits.ObjectBytes {
			return 0, fmt.Errorf("%w: an object of %d bytes, %d are allowed", ErrTooLarge, header.Length, s.limits.ObjectBytes)
		}
		var head prefix
		if _, _, err := scanner.NextObject(&head); err != nil {
			return 0, errBadPack
		}
		if header.Type.IsDelta() {
			if claimed := head.deltaTarget(); claimed > uint64(s.limits.ObjectBytes) {
				return 0, fmt.Errorf("%w: an object of %d bytes, %d are allowed", ErrTooLarge, claimed, s.limits.ObjectBytes)
			}
		}
	}
	if _, err := scanner.Checksum(); err != nil {
		return 0, errBadPack
	}
	return int(count), nil
}

// prefix keeps the first bytes written to it: enough for the two lengths a
// delta begins with (gitformat-pack(5)).
type prefix struct {
	bytes [20]byte
	n     int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.bytes[p.n:], b)
	return len(b), nil
}

// deltaTarget returns the size the delta's result claims to have.
func (p *prefix) deltaTarget() uint64 {
	rest := p.bytes[:p.n]
	var size uint64
	for range 2 { // the base's size, then the result's
		size = 0
		for shift := 0; len(rest) > 0 && shift < 63; shift += 7 {
			b := rest[0]
			rest = rest[1:]
			size |= uint64(b&0x7f) << shift
			if b&0x80 == 0 {
				break
			}
		}
	}
	return size
}

// unpack stores a small pack object by object, in the order files, trees,
// commits with parents first: whenever it is interrupted, what a stored commit
// needs is stored too.
func (s *store) unpack(spool *os.File) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return s.diskError(err)
	}
	in := memory.NewStorage()
	parser, err := packfile.NewParserWithStorage(packfile.NewScanner(spool), &in.ObjectStorage)
	if err != nil {
		return errBadPack
	}
	if _, err := parser.Parse(); err != nil {
		return errBadPack
	}
	return s.read(func(r *reader) error {
		for _, group := range []map[plumbing.Hash]plumbing.EncodedObject{in.Blobs, in.Trees} {
			for _, o := range group {
				if err := r.write(o); err != nil {
					return err
				}
			}
		}
		commits, err := parentsFirst(in.Commits)
		if err != nil {
			return err
		}
		for _, o := range commits {
			if err := r.write(o); err != nil {
				return err
			}
		}
		for _, o := range in.Tags {
			if err := r.write(o); err != nil {
				return err
			}
		}
		return nil
	})
}

// parentsFirst orders commits so that each comes after those of its parents
// that are among them.
func parentsFirst(commits map[plumbing.Hash]plumbing.EncodedObject) ([]plumbing.EncodedObject, error) {
	parents := make(map[plumbing.Hash][]plumbing.Hash, len(commits))
	for h, o := range commits {
		c := &object.Commit{}
		if err := c.Decode(o); err != nil {
			return nil, errBadPack
		}
		parents[h] = c.ParentHashes
	}
	ordered := make([]plumbing.EncodedObject, 0, len(commits))
	done := make(map[plumbing.Hash]bool, len(commits))
	var visit func(h plumbing.Hash)
	visit = func(h plumbing.Hash) {
		if commits[h] == nil || done[h] {
			return
		}
		done[h] = true
		for _, p := range parents[h] {
			visit(p)
		}
		ordered = append(ordered, commits[h])
	}
	for h := range commits {
		visit(h)
	}
	return ordered, nil
}

// keepPack indexes a large pack and puts both files in place, the index first:
// readers look for packs and expect each to have one.
func (s *store) keepPack(spool *os.File) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return s.diskError(err)
	}
	index := &idxfile.Writer{}
	parser, err := packfile.NewParser(packfile.NewScanner(spool), index)
	if err != nil {
		return errBadPack
	}
	checksum, err := parser.Parse()
	if err != nil {
		return errBadPack
	}
	built, err := index.Index()
	if err != nil {
		return errBadPack
	}
	base := filepath.Join(s.packDir(), "pack-"+checksum.String())
	if err := s.writeFile(base+".idx", true, func(w io.Writer) error {
		_, err := idxfile.NewEncoder(w).Encode(built)
		return err
	}); err != nil {
		return s.diskError(err)
	}
	if err := errors.Join(spool.Sync(), os.Rename(spool.Name(), base+".pack")); err != nil {
		return s.diskError(err)
	}
	s.refresh()
	return nil
}
