package chain

// Walk goes along a chain, row by row, and says where it breaks. Its zero value
// begins at the first row that it is given, whatever that follows; From says
// where another begins.
type Walk struct {
	// Last is the row before: its Hash is empty where nobody knows it.
	Last Head
	// Rows that were looked at.
	Rows int64
	// Noted is a head that somebody noted before; zero when nobody did.
	Noted Head

	began bool
}

// From returns a Walk that expects the row after h.
func From(h Head) Walk { return Walk{Last: h, began: true} }

// Step looks at the next row and returns what is wrong with it.
func (w *Walk) Step(l Link) []Break {
	var out []Break
	expected := w.Last.Seq + 1
	switch {
	case w.began && l.Seq < expected:
		out = append(out, Breakf(l.Seq, Order, "row %d stands after row %d", l.Seq, w.Last.Seq))
	case w.began && l.Seq == expected+1:
		out = append(out, Breakf(expected, Missing, "row %d is missing", expected))
	case w.began && l.Seq > expected:
		out = append(out, Breakf(expected, Missing, "rows %d to %d are missing", expected, l.Seq-1))
	}
	switch whole := content(l); {
	case whole != nil:
		out = append(out, *whole)
	case w.began && w.Last.Hash != "" && l.Seq == expected && l.Prev != w.Last.Hash:
		out = append(out, Breakf(l.Seq, Unlinked, "row %d was written after another row %d than the one that is there now: row %d was changed together with its hash, or all from row %d on was written anew",
			l.Seq, l.Seq-1, l.Seq-1, l.Seq))
	}
	if w.Noted.Seq != 0 && l.Seq == w.Noted.Seq && l.Hash != w.Noted.Hash {
		out = append(out, Breakf(l.Seq, Rewritten, "row %d has the hash %s; %s was noted before: this row, or one before it, was written anew", l.Seq, l.Hash, w.Noted.Hash))
	}
	w.Rows++
	if !w.began || l.Seq >= expected {
		w.Last = Head{Seq: l.Seq, Hash: l.Hash}
	}
	w.began = true
	return out
}

// End returns what is wrong with the end: nothing, unless a row was noted that
// is behind it.
func (w *Walk) End() []Break {
	if w.Noted.Seq <= w.Last.Seq {
		return nil
	}
	return []Break{Breakf(w.Noted.Seq, Cut, "the chain ends with row %d; row %d was noted before: the end was cut off", w.Last.Seq, w.Noted.Seq)}
}

// near is how far away the number is looked for that a moved row had.
const near = 1000

// content says whether the row is what was hashed.
func content(l Link) *Break {
	raw, err := Canonical(l.Entry)
	if err != nil {
		b := Breakf(l.Seq, Changed, "row %d cannot be read: %v", l.Seq, err)
		return &b
	}
	if sum(l.Seq, l.Prev, raw) == l.Hash {
		return nil
	}
	for d := int64(1); d <= near; d++ {
		for _, seq := range []int64{l.Seq - d, l.Seq + d} {
			if seq > 0 && sum(seq, l.Prev, raw) == l.Hash {
				b := Breakf(l.Seq, Moved, "row %d is what was row %d", l.Seq, seq)
				return &b
			}
		}
	}
	b := Breakf(l.Seq, Changed, "row %d is not what was written: its content does not have its hash", l.Seq)
	return &b
}
