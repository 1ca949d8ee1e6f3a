package chain_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/chain"
)

// of returns a chain of n rows.
func of(t testing.TB, n int) []chain.Link {
	t.Helper()
	at, out := chain.Start(), []chain.Link{}
	for i := range n {
		l, err := at.Next(fmt.Appendf(nil, `{"n": %d, "action": "freeze"}`, i))
		if err != nil {
			t.Fatal(err)
		}
		at = chain.Head{Seq: l.Seq, Hash: l.Hash}
		out = append(out, l)
	}
	return out
}

// TestRule recomputes a row as the package's comment says, without the package.
func TestRule(t *testing.T) {
	sum := sha256.Sum256([]byte(`{"entry":{"action":"freeze","n":0},"prev":"` + chain.Genesis + `","seq":1}`))
	if got, want := of(t, 1)[0].Hash, hex.EncodeToString(sum[:]); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestCanonical(t *testing.T) {
	for raw, want := range map[string]string{
		` { "b" : [ 1 , -0, true, null ] , "a" : "x" } `: `{"a":"x","b":[1,0,true,null]}`,
		`"\u0041\u00fc\/\u2028<&>"`:                      "\"Aü/\u2028<&>\"",
		`"\u0000\u001f\b\f\n\r\t\"\\\u007f"`:             "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\x7f\"",
		// By UTF-16 units, a pair of surrogates is before U+FB33: section 3.2.3.
		`{"\ufb33":1,"\ud83d\ude00":2,"ö":3,"1":4,"\r":5}`: "{\"\\r\":5,\"1\":4,\"ö\":3,\"😀\":2,\"\ufb33\":1}",
		`9007199254740991`: `9007199254740991`,
		`{}`:               `{}`,
		`[[],{}]`:          `[[],{}]`,
	} {
		got, err := chain.Canonical([]byte(raw))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		``, `{`, `{"a":1}x`, `{"a":1} {}`, `{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `1.5`, `1e2`, `9007199254740992`, `-9007199254740992`, "\"\xff\"", `[1,]`, `{"a"}`,
		string(bytes.Repeat([]byte("["), 65)) + string(bytes.Repeat([]byte("]"), 65)),
	} {
		if got, err := chain.Canonical([]byte(raw)); !errors.Is(err, chain.ErrCanonical) {
			t.Errorf("%s: %s, %v; want ErrCanonical", raw, got, err)
		}
	}
}

// FuzzCanonical: the canonical form says the same, is its own canonical form,
// and does not depend on how the value was written.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":[1,-2,true,null,"\u0000ü\ud83d\ude00"],"a":{"z":"","y":{}}}`))
	f.Add([]byte(`{"at":"2026-03-04T12:00:00Z","key":"u/made","action":"freeze"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := chain.Canonical(raw)
		if err != nil {
			return
		}
		again, err := chain.Canonical(first)
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%s became %s, %v", first, again, err)
		}
		value := func(raw []byte) (v any) {
			d := json.NewDecoder(bytes.NewReader(raw))
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			return v
		}
		if d := cmp.Diff(value(raw), value(first)); d != "" {
			t.Errorf("another value: -before +after\n%s", d)
		}
		wide, err := json.MarshalIndent(json.RawMessage(raw), " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if spaced, err := chain.Canonical(wide); err != nil || !bytes.Equal(first, spaced) {
			t.Errorf("written with spaces: %s, %v; want %s", spaced, err, first)
		}
	})
}

func TestHead(t *testing.T) {
	h := chain.Head{Seq: 12, Hash: of(t, 1)[0].Hash}
	if got, err := chain.ParseHead(h.String()); err != nil || got != h {
		t.Errorf("%v became %v, %v", h, got, err)
	}
	if got, err := chain.ParseHead(chain.Start().String()); err != nil || got != chain.Start() {
		t.Errorf("the start became %v, %v", got, err)
	}
	for _, text := range []string{"", "12", "12:", ":" + h.Hash, "-1:" + h.Hash, "0:" + h.Hash, "x:" + h.Hash, "12:" + h.Hash[1:], "12:" + h.Hash + "0", "12:" + chain.Genesis[1:] + "G"} {
		if _, err := chain.ParseHead(text); !errors.Is(err, chain.ErrHead) {
			t.Errorf("%q: %v, want ErrHead", text, err)
		}
	}
}

// rehash writes row i anew, as who has the rule could.
func rehash(ls []chain.Link, i int) {
	l, err := chain.Head{Seq: ls[i].Seq - 1, Hash: ls[i].Prev}.Next(ls[i].Entry)
	if err != nil {
		panic(err)
	}
	ls[i] = l
}

// TestWalk: each way of tampering is found where it was done.
func TestWalk(t *testing.T) {
	const rows = 8
	whole := of(t, rows)
	end := chain.Head{Seq: rows, Hash: whole[rows-1].Hash}
	for _, c := range []struct {
		why    string
		tamper func(ls []chain.Link) []chain.Link
		noted  chain.Head
		want   []string // kind and row
	}{
		{"whole", func(ls []chain.Link) []chain.Link { return ls }, end, nil},
		{"content that is written in another way", func(ls []chain.Link) []chain.Link {
			ls[2].Entry = json.RawMessage(`{ "n":2, "action":"\u0066reeze" }`)
			return ls
		}, end, nil},
		{"a changed row", func(ls []chain.Link) []chain.Link {
			ls[2].Entry = json.RawMessage(`{"action":"freeze","n":9}`)
			return ls
		}, end, []string{"changed 3"}},
		{"a row that gained a key", func(ls []chain.Link) []chain.Link {
			ls[2].Entry = json.RawMessage(`{"action":"freeze","n":2,"x":""}`)
			return ls
		}, end, []string{"changed 3"}},
		{"a row that is no JSON", func(ls []chain.Link) []chain.Link { ls[2].Entry = json.RawMessage(`{`); return ls }, end, []string{"changed 3"}},
		{"a changed hash", func(ls []chain.Link) []chain.Link { ls[2].Hash = ls[1].Hash; return ls }, end, []string{"changed 3", "unlinked 4"}},
		{"a changed link", func(ls []chain.Link) []chain.Link { ls[2].Prev = ls[0].Hash; return ls }, end, []string{"changed 3"}},
		{"changed with its hash", func(ls []chain.Link) []chain.Link {
			ls[2].Entry = json.RawMessage(`{"action":"thaw","n":2}`)
			rehash(ls, 2)
			return ls
		}, end, []string{"unlinked 4"}},
		{"a missing row", func(ls []chain.Link) []chain.Link { return slices.Delete(ls, 2, 3) }, end, []string{"missing 3"}},
		{"missing rows", func(ls []chain.Link) []chain.Link { return slices.Delete(ls, 2, 5) }, end, []string{"missing 3"}},
		{"the first rows missing", func(ls []chain.Link) []chain.Link { return ls[2:] }, end, []string{"missing 1"}},
		{"a missing row, closed up", func(ls []chain.Link) []chain.Link {
			ls = slices.Delete(ls, 2, 3)
			for i := 2; i < len(ls); i++ {
				ls[i].Seq--
			}
			return ls
		}, chain.Head{}, []string{"moved 3", "moved 4", "moved 5", "moved 6", "moved 7"}},
		{"two rows that changed places", func(ls []chain.Link) []chain.Link {
			ls[2].Seq, ls[3].Seq = ls[3].Seq, ls[2].Seq
			ls[2], ls[3] = ls[3], ls[2]
			return ls
		}, end, []string{"moved 3", "moved 4", "unlinked 5"}},
		{"lines in another order", func(ls []chain.Link) []chain.Link { ls[2], ls[3] = ls[3], ls[2]; return ls }, end, []string{"missing 3", "order 3"}},
		{"a row twice", func(ls []chain.Link) []chain.Link { return slices.Insert(ls, 3, ls[2]) }, end, []string{"order 3"}},
		{"a cut-off end that nobody noted", func(ls []chain.Link) []chain.Link { return ls[:5] }, chain.Head{}, nil},
		{"a cut-off end", func(ls []chain.Link) []chain.Link { return ls[:5] }, end, []string{"cut 8"}},
		{"all cut off", func([]chain.Link) []chain.Link { return nil }, end, []string{"cut 8"}},
		{"all from a row on anew", func(ls []chain.Link) []chain.Link {
			ls[2].Entry = json.RawMessage(`{"action":"thaw","n":2}`)
			for i := 2; i < len(ls); i++ {
				ls[i].Prev = ls[i-1].Hash
				rehash(ls, i)
			}
			return ls
		}, end, []string{"rewritten 8"}},
	} {
		w := chain.From(chain.Start())
		w.Noted = c.noted
		var got []string
		for _, l := range c.tamper(slices.Clone(whole)) {
			for _, b := range w.Step(l) {
				got = append(got, fmt.Sprintf("%s %d", b.Kind, b.Seq))
			}
		}
		for _, b := range w.End() {
			got = append(got, fmt.Sprintf("%s %d", b.Kind, b.Seq))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.why, d)
		}
	}
	var part chain.Walk // of which nobody knows what was before
	for _, l := range whole[3:] {
		if breaks := part.Step(l); breaks != nil {
			t.Errorf("a part: %v", breaks)
		}
	}
	if part.Rows != 5 || part.Last != end {
		t.Errorf("a part: %d rows to %v", part.Rows, part.Last)
	}
}

// FuzzTamper: whatever else a row says, it is found.
func FuzzTamper(f *testing.F) {
	f.Add([]byte(`{"action":"freeze","n":9}`), uint8(3))
	f.Fuzz(func(t *testing.T, entry []byte, at uint8) {
		ls := of(t, 6)
		i := int(at) % len(ls)
		same, err := chain.Canonical(entry)
		if err == nil && bytes.Equal(same, ls[i].Entry) {
			return
		}
		ls[i].Entry = entry
		w, found := chain.From(chain.Start()), 0
		for _, l := range ls {
			found += len(w.Step(l))
		}
		if found != 1 {
			t.Errorf("%d breaks, want 1", found)
		}
	})
}

// BenchmarkNext is what chaining an entry costs besides the database.
func BenchmarkNext(b *testing.B) {
	entry := []byte(`{"key":"0b2c4c1e-6f0a-4b1e-9d11-0e4b7d9a2c11/made","at":"2026-03-04T12:00:00Z","action":"approve","actor":"waybill:ada","project":"guestbook","stage":"prod","object":{"kind":"Approval","name":"a-1","uid":"0b2c4c1e-6f0a-4b1e-9d11-0e4b7d9a2c11"},"reason":"looks good","promotion":"prod.7.f2","planHash":"sha256:00","via":"api"}`)
	at := chain.Start()
	for b.Loop() {
		l, err := at.Next(entry)
		if err != nil {
			b.Fatal(err)
		}
		at = chain.Head{Seq: l.Seq, Hash: l.Hash}
	}
}
