package query

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
)

// row is a row of the chain with the columns that lists filter by.
type row struct {
	chain.Link
	columns columns
}

// columns are what an entry is found by; they say what its record says.
type columns struct {
	Key                    string
	At                     int64 // microseconds since 1970
	Project, Stage         string
	Freight, Action, Actor string
	Object                 string
	Ends                   bool
}

func columnsOf(e *history.Entry) columns {
	return columns{
		Key: e.Key, At: e.At.UnixMicro(), Project: e.Project, Stage: e.Stage, Freight: FreightWords(e.Freight),
		Action: string(e.Action), Actor: e.Actor, Object: e.Object.UID, Ends: e.Ends,
	}
}

// Head returns the end of the chain (history.Store).
func (l Lists) Head(ctx context.Context) (chain.Head, error) {
	head := chain.Start()
	err := l.Select(ctx, "read the end of the chain", "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1", nil,
		func(scan Scan) error { return scan(&head.Seq, &head.Hash) })
	return head, err
}

// FirstSince returns the first row that is not older (history.Store).
func (l Lists) FirstSince(ctx context.Context, at time.Time) (int64, error) {
	var seq int64
	err := l.Select(ctx, "look for the first row of a time",
		"SELECT COALESCE((SELECT MIN(seq) FROM entries WHERE at >= "+l.Dialect.marks(1)+"), (SELECT MAX(seq) + 1 FROM entries), 1)",
		[]any{l.Dialect.Instant(at)}, func(scan Scan) error { return scan(&seq) })
	return seq, err
}

// Links returns the rows behind a number (history.Store).
func (l Lists) Links(ctx context.Context, after int64, limit int) ([]chain.Link, error) {
	rows, err := l.rows(ctx, after, history.Part{Limit: limit}.Size())
	out := make([]chain.Link, len(rows))
	for i := range rows {
		out[i] = rows[i].Link
	}
	return out, err
}

func (l Lists) rows(ctx context.Context, after int64, limit int) (out []row, err error) {
	err = l.Select(ctx, "read the chain",
		"SELECT seq, prev, hash, record, key, "+l.Dialect.Micros("at")+", project, stage, freight, action, actor, object, ends FROM entries WHERE seq > "+
			l.Dialect.marks(1)+" ORDER BY seq LIMIT "+strconv.Itoa(limit), []any{after},
		func(scan Scan) error {
			var r row
			c := &r.columns
			var record []byte
			err := scan(&r.Seq, &r.Prev, &r.Hash, &record, &c.Key, &c.At, &c.Project, &c.Stage, &c.Freight, &c.Action, &c.Actor, &c.Object, &c.Ends)
			r.Entry = record
			out = append(out, r)
			return err
		})
	return out, err
}

// Verify looks at a part of the chain (history.Store).
func (l Lists) Verify(ctx context.Context, part history.Part) (history.Verdict, error) {
	var v history.Verdict
	var err error
	// The end before the rows: what is appended meanwhile is another part's.
	if v.Head, err = l.Head(ctx); err != nil {
		return v, err
	}
	rows, err := l.rows(ctx, part.After.Seq, part.Size())
	if err != nil {
		return v, err
	}
	walk := chain.From(part.After)
	walk.Noted = part.Noted
	vouched := map[string]row{} // by UID of a Promotion: the last of its rows here
	for _, r := range rows {
		breaks := walk.Step(r.Link)
		v.Breaks = append(v.Breaks, breaks...)
		var e history.Entry
		if err := json.Unmarshal(r.Entry, &e); err != nil {
			continue // walk has said so
		}
		if len(breaks) == 0 && columnsOf(&e) != r.columns {
			v.Breaks = append(v.Breaks, chain.Breakf(r.Seq, chain.Changed, "row %d is found as something else than what it says: a column that lists filter by was changed", r.Seq))
		}
		if e.Record != "" {
			vouched[e.Object.UID] = r
		}
	}
	v.Rows, v.Last = walk.Rows, walk.Last
	records, err := l.records(ctx, vouched)
	if err != nil {
		return v, err
	}
	v.Breaks = append(v.Breaks, records...)
	if v.Done = len(rows) < part.Size(); v.Done {
		v.Breaks = append(v.Breaks, walk.End()...)
		if records, err = l.unvouched(ctx, v.Last.Seq); err != nil {
			return v, err
		}
		v.Breaks = append(v.Breaks, records...)
		if v.Head.Seq < v.Last.Seq {
			v.Head = v.Last
		}
	}
	return v, nil
}

// records says which of these Promotions have another record than the last row
// about them says.
func (l Lists) records(ctx context.Context, vouched map[string]row) ([]chain.Break, error) {
	if len(vouched) == 0 {
		return nil, nil
	}
	uids := make([]string, 0, len(vouched))
	for uid := range vouched {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	// The records before the rows: one that grows meanwhile has a row that is newer.
	now, err := l.recordHashes(ctx, uids)
	if err != nil {
		return nil, err
	}
	newest := map[string]int64{}
	s := &statement{d: l.Dialect}
	s.text.WriteString("SELECT object, MAX(seq) FROM entries")
	s.anyOf("object", uids)
	s.anyOf("action", []string{string(history.ActionPromote), string(history.ActionRollback)})
	s.text.WriteString(" GROUP BY object")
	err = l.Select(ctx, "look for newer rows", s.text.String(), s.args, func(scan Scan) error {
		var uid string
		var seq int64
		err := scan(&uid, &seq)
		newest[uid] = seq
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []chain.Break
	for _, uid := range uids {
		r := vouched[uid]
		var e history.Entry
		if err := json.Unmarshal(r.Entry, &e); err != nil || newest[uid] != r.Seq {
			continue
		}
		switch hash, isThere := now[uid]; {
		case !isThere:
			out = append(out, chain.Breakf(r.Seq, chain.Record, "the record of Promotion %q in Project %q, which row %d vouches for, is missing", e.Object.Name, e.Project, r.Seq))
		case hash != e.Record:
			out = append(out, chain.Breakf(r.Seq, chain.Record, "the record of Promotion %q in Project %q, or its steps, is not what row %d vouches for", e.Object.Name, e.Project, r.Seq))
		}
	}
	return out, nil
}

// recordHashes returns the hash of each record as it is now, by UID.
func (l Lists) recordHashes(ctx context.Context, uids []string) (map[string]string, error) {
	steps := map[string][]history.Step{}
	s := &statement{d: l.Dialect}
	s.text.WriteString("SELECT uid, step, attempt, uses, state, message, " + l.Dialect.Micros("started_at") + ", " + l.Dialect.Micros("finished_at") + " FROM steps s")
	s.anyOf("uid", uids)
	s.where("NOT EXISTS (SELECT 1 FROM steps n WHERE n.uid = s.uid AND n.step = s.step AND n.attempt > s.attempt)")
	s.text.WriteString(" ORDER BY uid, position")
	err := l.Select(ctx, "read steps", s.text.String(), s.args, func(scan Scan) error {
		var uid string
		var step history.Step
		var started, finished sql.NullInt64
		err := scan(&uid, &step.Name, &step.Attempt, &step.Uses, &step.State, &step.Message, &started, &finished)
		step.StartedAt, step.FinishedAt = ofMicros(started), ofMicros(finished)
		steps[uid] = append(steps[uid], step)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	s = &statement{d: l.Dialect}
	s.text.WriteString("SELECT uid, project, stage, name, seq, kind, freight, phase, requested_by, " + l.Dialect.Micros("created_at") + ", record FROM promotions")
	s.anyOf("uid", uids)
	err = l.Select(ctx, "read records", s.text.String(), s.args, func(scan Scan) error {
		var c, same history.Promotion
		var created int64
		var raw []byte
		if err := scan(&c.UID, &c.Project, &c.Stage, &c.Name, &c.Seq, &c.Kind, &c.Freight.Name, &c.Phase, &c.RequestedBy, &created, &raw); err != nil {
			return err
		}
		hash, err := history.RecordHash(raw, steps[c.UID])
		if err == nil {
			err = json.Unmarshal(raw, &same)
		}
		isSame := c.UID == same.UID && c.Project == same.Project && c.Stage == same.Stage && c.Name == same.Name && c.Seq == same.Seq && c.Kind == same.Kind &&
			c.Freight.Name == same.Freight.Name && c.Phase == same.Phase && c.RequestedBy == same.RequestedBy && created == same.CreatedAt.UnixMicro()
		if err != nil || !isSame {
			hash = "" // nothing that was written has this hash
		}
		out[c.UID] = hash
		return nil
	})
	return out, err
}

// ofMicros is an instant of a column; zero for NULL.
func ofMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// maxUnvouched bounds how many records are named that no row vouches for.
const maxUnvouched = 20

// unvouched says which records no row vouches for. Rows up to last were seen.
func (l Lists) unvouched(ctx context.Context, last int64) (out []chain.Break, err error) {
	err = l.Select(ctx, "look for records without a row",
		"SELECT project, name FROM promotions p WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.object = p.uid AND e.action IN ('promote', 'rollback')) ORDER BY uid LIMIT "+
			strconv.Itoa(maxUnvouched), nil,
		func(scan Scan) error {
			var project, name string
			if err := scan(&project, &name); err != nil {
				return err
			}
			out = append(out, chain.Breakf(last, chain.Record, "no row vouches for the record of Promotion %q in Project %q", name, project))
			return nil
		})
	return out, err
}
