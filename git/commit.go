package git

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Identity is a person or program in a commit.
type Identity struct{ Name, Email string }

// Trailer is one "Key: value" line at the end of a commit message.
type Trailer struct{ Key, Value string }

// Trailers are a commit's, in order; keys may repeat.
type Trailers []Trailer

// Get returns the first value of a key, or "". Keys compare without case, as
// in git-interpret-trailers(1).
func (t Trailers) Get(key string) string {
	for _, trailer := range t {
		if strings.EqualFold(trailer.Key, key) {
			return trailer.Value
		}
	}
	return ""
}

// Values returns every value of a key, in order.
func (t Trailers) Values(key string) []string {
	var values []string
	for _, trailer := range t {
		if strings.EqualFold(trailer.Key, key) {
			values = append(values, trailer.Value)
		}
	}
	return values
}

// Commit is a commit as read.
type Commit struct {
	Hash, Tree        Hash
	Parents           []Hash
	Author, Committer Identity
	// When is the committer's date, in UTC and whole seconds.
	When time.Time
	// Message is whole, trailers included; Trailers are those of its last
	// paragraph.
	Message  string
	Trailers Trailers
}

// CommitSpec is a commit to write.
type CommitSpec struct {
	Tree              Hash
	Parents           []Hash
	Author, Committer Identity
	// When is both dates; only whole seconds count, and UTC is written.
	When time.Time
	// Message is a person's or a template's: it may hold anything, and cannot
	// end in a trailer of ours.
	Message  string
	Trailers []Trailer
	// Signer signs it; nil: it is not signed.
	Signer *Signer
}

const (
	// reservedPrefix begins the keys that only Trailers may set.
	reservedPrefix = "Waybill-"
	// maxMessageBytes bounds a message as given.
	maxMessageBytes = 64 << 10
)

// trailerLine is a line git takes for a trailer: a token, a colon, a value.
var trailerLine = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)$`)

// parseTrailers returns the trailers of the last paragraph, if that is one
// block of trailers. A block that is the whole message is the subject, not
// trailers.
func parseTrailers(message string) Trailers {
	lines := strings.Split(strings.TrimRight(message, "\n"), "\n")
	start := len(lines)
	for start > 0 && strings.TrimSpace(lines[start-1]) != "" {
		start--
	}
	if start == 0 {
		return nil
	}
	var trailers Trailers
	for _, line := range lines[start:] {
		m := trailerLine.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		trailers = append(trailers, Trailer{Key: m[1], Value: strings.TrimSpace(m[2])})
	}
	return trailers
}

// text returns what WriteCommit stores: the message made harmless, an
// empty line, the trailers.
//
// Harmless means: control characters are gone, lines that begin like one of
// our trailers ("Waybill-...:") are quoted with "> ", and the trailers are a
// paragraph of their own, so that what a user writes is never read as one.
func (c CommitSpec) text() (string, error) {
	if len(c.Message) > maxMessageBytes {
		return "", fmt.Errorf("commit message: %w: longer than %d bytes", ErrTooLarge, maxMessageBytes)
	}
	var lines []string
	message := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n").Replace(strings.ToValidUTF8(c.Message, "\uFFFD"))
	for _, line := range strings.Split(message, "\n") {
		line = strings.TrimRight(strings.Map(printable, line), " \t")
		if looksReserved(line) {
			line = "> " + line
		}
		lines = append(lines, line)
	}
	text := strings.Trim(strings.Join(lines, "\n"), "\n")
	if strings.TrimSpace(text) == "" {
		return "", errors.New("commit message is empty")
	}
	if len(c.Trailers) == 0 {
		return text + "\n", nil
	}
	var b strings.Builder
	b.WriteString(text + "\n\n")
	for _, t := range c.Trailers {
		if !trailerLine.MatchString(t.Key + ":") {
			return "", fmt.Errorf("trailer key %q is not made of letters, digits and dashes", t.Key)
		}
		value := strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(t.Value, "\uFFFD")))
		fmt.Fprintf(&b, "%s: %s\n", t.Key, value)
	}
	return b.String(), nil
}

func printable(r rune) rune {
	if r != '\t' && unicode.IsControl(r) {
		return -1
	}
	return r
}

// looksReserved reports whether a line, whatever stands before the first
// letter, could be read as one of our trailers.
func looksReserved(line string) bool {
	line = strings.TrimLeftFunc(line, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '>' })
	key, _, isTrailer := strings.Cut(line, ":")
	return isTrailer && len(key) >= len(reservedPrefix) && strings.EqualFold(key[:len(reservedPrefix)], reservedPrefix)
}

// WriteCommit stores a commit and returns its hash. The same spec gives the
// same hash; nothing is read from a clock or a configuration. Tree and parents
// must be in the mirror, else ErrUnknownObject.
func (m *Mirror) WriteCommit(c CommitSpec) (Hash, error) {
	message, err := c.text()
	if err != nil {
		return Hash{}, err
	}
	if c.When.IsZero() {
		return Hash{}, errors.New("commit has no date")
	}
	author, err := c.Author.signature(c.When)
	if err != nil {
		return Hash{}, err
	}
	committer, err := c.Committer.signature(c.When)
	if err != nil {
		return Hash{}, err
	}
	commit := &object.Commit{Author: author, Committer: committer, Message: message, TreeHash: c.Tree.plumbing()}
	for _, p := range c.Parents {
		commit.ParentHashes = append(commit.ParentHashes, p.plumbing())
	}
	if c.Signer != nil {
		unsigned := &plumbing.MemoryObject{}
		if err := commit.EncodeWithoutSignature(unsigned); err != nil {
			return Hash{}, fmt.Errorf("encode commit: %w", err)
		}
		if commit.PGPSignature, err = c.Signer.sign(unsigned, c.When); err != nil {
			return Hash{}, err
		}
	}
	encoded := &plumbing.MemoryObject{}
	if err := commit.Encode(encoded); err != nil {
		return Hash{}, fmt.Errorf("encode commit: %w", err)
	}
	err = m.store.read(func(r *reader) error {
		for _, h := range append([]Hash{c.Tree}, c.Parents...) {
			if stored, err := r.has(h); err != nil || !stored {
				return orUnknown(err, "write commit", h)
			}
		}
		return r.write(encoded)
	})
	return Hash(encoded.Hash()), err
}

// signature makes the header's form of an identity. Characters that end a
// field there are dropped.
func (i Identity) signature(when time.Time) (object.Signature, error) {
	clean := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == '<' || r == '>' {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, "\uFFFD"))
		return strings.Trim(s, " .,:;\"'")
	}
	s := object.Signature{Name: clean(i.Name), Email: strings.ReplaceAll(clean(i.Email), " ", ""), When: when.UTC().Truncate(time.Second)}
	if s.Name == "" || s.Email == "" {
		return s, fmt.Errorf("identity %q <%s> needs a name and an email address", i.Name, i.Email)
	}
	return s, nil
}

// Commit returns a commit of the mirror, or ErrUnknownObject.
func (m *Mirror) Commit(h Hash) (Commit, error) {
	var c Commit
	err := m.store.read(func(r *reader) (err error) {
		c, err = r.commit(h)
		return err
	})
	return c, err
}

// Has reports whether a commit, and so everything it needs, is in the mirror:
// whoever knows from LsRemote where a branch is need not Fetch then.
func (m *Mirror) Has(commit Hash) bool {
	err := m.store.read(func(r *reader) error {
		_, err := r.commit(commit)
		return err
	})
	return err == nil
}

// commit loads a commit the caller named.
func (r *reader) commit(h Hash) (Commit, error) {
	if stored, err := r.has(h); err != nil || !stored {
		return Commit{}, orUnknown(err, "commit", h)
	}
	o, err := r.object(plumbing.AnyObject, h)
	if err != nil {
		return Commit{}, err
	}
	if o.Type() != plumbing.CommitObject {
		return Commit{}, fmt.Errorf("%w: %s is a %s, not a commit", ErrUnknownObject, h.Short(), o.Type())
	}
	decoded, err := object.DecodeCommit(r, o)
	if err != nil {
		return Commit{}, damage("commit "+h.Short(), err)
	}
	c := Commit{
		Hash: h, Tree: Hash(decoded.TreeHash),
		Author:    Identity{decoded.Author.Name, decoded.Author.Email},
		Committer: Identity{decoded.Committer.Name, decoded.Committer.Email},
		When:      decoded.Committer.When.UTC(),
		Message:   decoded.Message,
		Trailers:  parseTrailers(decoded.Message),
	}
	for _, p := range decoded.ParentHashes {
		c.Parents = append(c.Parents, Hash(p))
	}
	return c, nil
}

// FirstParents goes from head back along first parents to stop, which is not
// included; a zero stop means to the first commit. The last pair carries the
// error, if any: ErrNotAncestor when the history ended without meeting stop,
// ErrTooLarge when limit commits did not reach it.
func (m *Mirror) FirstParents(head, stop Hash, limit int) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		next := head
		for range limit {
			if next == stop {
				return
			}
			if next.IsZero() {
				yield(Commit{}, fmt.Errorf("%w: %s of %s in %s", ErrNotAncestor, stop.Short(), head.Short(), m.URL()))
				return
			}
			c, err := m.Commit(next)
			if !yield(c, err) || err != nil {
				return
			}
			next = Hash{}
			if len(c.Parents) > 0 {
				next = c.Parents[0]
			}
		}
		if next != stop {
			yield(Commit{}, fmt.Errorf("%w: more than %d commits between %s and %s", ErrTooLarge, limit, stop.Short(), head.Short()))
		}
	}
}

// FindTrailer returns the newest commit between head and stop (see
// FirstParents) whose trailer key has that value. Not found is only said when
// the whole way to stop was seen; otherwise it is an error.
func (m *Mirror) FindTrailer(head, stop Hash, key, value string, limit int) (Commit, bool, error) {
	for c, err := range m.FirstParents(head, stop, limit) {
		if err != nil {
			return Commit{}, false, err
		}
		for _, v := range c.Trailers.Values(key) {
			if v == value {
				return c, true, nil
			}
		}
	}
	return Commit{}, false, nil
}
