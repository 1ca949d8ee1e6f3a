// Package chain chains rows by hash, so that one that was changed, taken out,
// moved or put in later shows.
//
//	hash(row) = SHA-256( {"entry":ENTRY,"prev":"HASH","seq":N} )
//
// ENTRY is the row's content, N its number, counted from 1, and HASH the hash of
// the row before, Genesis for the first. All of it is canonical JSON (RFC 8785):
// no space, the keys of an object in the order of their UTF-16 units, only the
// escapes that have to be. Hashes are 64 lower-case hexadecimal digits. Whoever
// has the rows can compute the chain again, with any library of that RFC and
// without Waybill.
//
// What a chain cannot show by itself: that its end was cut off, or that all from
// some row on was written anew. Who noted a head, its number and hash, finds
// both: Walk.Noted.
package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Genesis stands for the hash of the row before the first.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// Link is one row.
type Link struct {
	// Seq counts from 1, without gaps.
	Seq int64 `json:"seq"`
	// Prev is the hash of the row before, Hash that of this one.
	Prev string `json:"prev"`
	Hash string `json:"hash"`
	// Entry is the content, as JSON in any form.
	Entry json.RawMessage `json:"entry"`
}

// Head is a place in a chain: a row's number and hash.
type Head struct {
	Seq  int64
	Hash string
}

// Start is the place before the first row.
func Start() Head { return Head{Hash: Genesis} }

// String returns the head as people note it: SEQ:HASH.
func (h Head) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash }

// ErrHead is for text that is no head.
var ErrHead = errors.New("not a place in a chain: want SEQ:HASH, as 120:9f86d0… with all 64 digits")

// ParseHead reads what String wrote. It returns ErrHead for anything else.
func ParseHead(text string) (Head, error) {
	number, hash, _ := strings.Cut(text, ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 0 || seq > maxInteger || !isHash(hash) || (seq == 0) != (hash == Genesis) {
		return Head{}, ErrHead
	}
	return Head{Seq: seq, Hash: hash}, nil
}

func isHash(text string) bool {
	return len(text) == len(Genesis) && strings.Trim(text, "0123456789abcdef") == ""
}

// Next returns the row with this content that follows h.
func (h Head) Next(entry []byte) (Link, error) {
	content, err := Canonical(entry)
	if err != nil {
		return Link{}, err
	}
	l := Link{Seq: h.Seq + 1, Prev: h.Hash, Entry: content}
	l.Hash = sum(l.Seq, l.Prev, content)
	return l, nil
}

// Sum returns the hash of any JSON, by its canonical form.
func Sum(raw []byte) (string, error) {
	content, err := Canonical(raw)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:]), nil
}

// sum is the rule of the package's comment; content is canonical.
func sum(seq int64, prev string, content []byte) string {
	text := make([]byte, 0, len(content)+len(prev)+48)
	text = append(text, `{"entry":`...)
	text = append(text, content...)
	text = append(text, `,"prev":`...)
	text = appendString(text, prev)
	text = append(text, `,"seq":`...)
	text = strconv.AppendInt(text, seq, 10)
	text = append(text, '}')
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// Kind says how a chain breaks.
type Kind string

// The kinds.
const (
	// Changed: the row's content, number or links are not what was hashed.
	Changed Kind = "changed"
	// Moved: the row is whole, but was another number's.
	Moved Kind = "moved"
	// Missing: rows are not there.
	Missing Kind = "missing"
	// Unlinked: the row is whole, and follows another row than the one before it.
	Unlinked Kind = "unlinked"
	// Order: a row stands after one that it should be before.
	Order Kind = "order"
	// Cut: the chain ends before a row that was noted.
	Cut Kind = "cut"
	// Rewritten: a row that was noted has another hash.
	Rewritten Kind = "rewritten"
	// Record: what a row vouches for is not what it was.
	Record Kind = "record"
)

// Break is one place where a chain breaks.
type Break struct {
	Seq    int64  `json:"seq"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`
}

// Breakf returns a Break with a sentence.
func Breakf(seq int64, kind Kind, format string, args ...any) Break {
	return Break{Seq: seq, Kind: kind, Detail: fmt.Sprintf(format, args...)}
}
