// Package query writes the history's SQL, for the drivers of package history.
// What differs between databases is how a parameter is marked, how an instant is
// kept and how a field of JSON is set; the conditions, their order, the columns
// and what may replace what are the same.
package query

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/history"
)

// Dialect is what differs between databases.
type Dialect struct {
	// Mark stands before the number of a parameter: $ or ?.
	Mark string
	// Instant is how a time is passed.
	Instant func(time.Time) any
	// Micros returns an expression for the microseconds since 1970 of a column
	// that holds an instant.
	Micros func(column string) string
	// Lock is the statement by which a transaction waits until no other appends;
	// empty where each that writes is alone anyway.
	Lock string
	// SetNotice is the expression for the record of a notice with the batch and the
	// outcome that these parameters hold.
	SetNotice func(batch, outcome string) string
}

// statement is a SELECT with its parameters.
type statement struct {
	d    Dialect
	text strings.Builder
	args []any
	word string
}

// arg adds a parameter and returns its mark.
func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return s.d.Mark + strconv.Itoa(len(s.args))
}

func (s *statement) where(condition string) {
	if s.word == "" {
		s.word = " WHERE "
	}
	s.text.WriteString(s.word + condition)
	s.word = " AND "
}

func (s *statement) equal(column, value string) {
	if value != "" {
		s.where(column + " = " + s.arg(value))
	}
}

func (s *statement) anyOf(column string, values []string) {
	if len(values) == 0 {
		return
	}
	marks := make([]string, len(values))
	for i, v := range values {
		marks[i] = s.arg(v)
	}
	s.where(column + " IN (" + strings.Join(marks, ", ") + ")")
}

// who matches a user with or without the prefix of Waybill's own.
func (s *statement) who(column, name string) {
	if name != "" {
		s.anyOf(column, []string{name, "waybill:" + name})
	}
}

func (s *statement) between(column string, from, until time.Time) {
	if !from.IsZero() {
		s.where(column + " >= " + s.arg(s.d.Instant(from)))
	}
	if !until.IsZero() {
		s.where(column + " < " + s.arg(s.d.Instant(until)))
	}
}

// instantOrNull is an instant as the tables hold it; NULL for none.
func (d Dialect) instantOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return d.Instant(t)
}

// marks are n parameters, in their order.
func (d Dialect) marks(n int) string {
	marks := make([]string, n)
	for i := range marks {
		marks[i] = d.Mark + strconv.Itoa(i+1)
	}
	return strings.Join(marks, ", ")
}

// putPromotion returns the statement that keeps a record. A record that was
// rolled back stays so.
func (d Dialect) putPromotion() string {
	return `
		INSERT INTO promotions (uid, project, stage, name, seq, kind, freight, phase, requested_by, created_at, digest, record)
		VALUES (` + d.marks(12) + `)
		ON CONFLICT (uid) DO UPDATE SET phase = excluded.phase, requested_by = excluded.requested_by, freight = excluded.freight, digest = excluded.digest, record = excluded.record
		WHERE promotions.digest <> excluded.digest AND (promotions.phase <> 'RolledBack' OR excluded.phase = 'RolledBack')`
}

// putStep returns the statement that keeps an attempt of a step.
func (d Dialect) putStep() string {
	return `
		INSERT INTO steps (uid, step, attempt, position, uses, state, message, started_at, finished_at)
		VALUES (` + d.marks(9) + `)
		ON CONFLICT (uid, step, attempt) DO UPDATE SET position = excluded.position, state = excluded.state,
		  message = excluded.message, started_at = excluded.started_at, finished_at = excluded.finished_at`
}

// Lists are the lists of a store.
type Lists struct {
	Dialect Dialect
	// Select hands what text selects to row, one row at a time. doing is for its
	// error.
	Select func(ctx context.Context, doing, text string, args []any, row func(Scan) error) error
	// Write runs a function in a transaction.
	Write func(ctx context.Context, doing string, write func(context.Context, Tx) error) error
}

// Scan reads the columns of one row.
type Scan func(into ...any) error

// ListPromotions returns records, newest first (history.Store).
func (l Lists) ListPromotions(ctx context.Context, f history.Filter, page history.Page) ([]history.Promotion, string, error) {
	text, args, err := l.Dialect.promotions(f, page)
	if err != nil {
		return nil, "", err
	}
	rows, err := list[history.Promotion](ctx, l, "list records", text, args)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, page, (*history.Promotion).Cursor)
	return rows, next, nil
}

// ListEntries returns entries, newest first (history.Store).
func (l Lists) ListEntries(ctx context.Context, f history.Filter, page history.Page) ([]history.Entry, string, error) {
	text, args, err := l.Dialect.entries(f, page)
	if err != nil {
		return nil, "", err
	}
	rows, err := list[history.Entry](ctx, l, "list entries", text, args)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, page, (*history.Entry).Cursor)
	return rows, next, nil
}

// askedAtOnce bounds the parameters of a statement.
const askedAtOnce = 1000

// Written returns which keys are there (history.Store).
func (l Lists) Written(ctx context.Context, keys []string) (map[string]bool, error) {
	out := map[string]bool{}
	for some := range slices.Chunk(keys, askedAtOnce) {
		s := &statement{d: l.Dialect}
		s.text.WriteString("SELECT key FROM entries")
		s.anyOf("key", some)
		err := l.Select(ctx, "look up what is written", s.text.String(), s.args, func(scan Scan) error {
			var key string
			err := scan(&key)
			out[key] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Unended returns what is not known to be gone (history.Store).
func (l Lists) Unended(ctx context.Context, project string) ([]history.Entry, error) {
	text, args := l.Dialect.unended(project)
	return list[history.Entry](ctx, l, "list what has not ended", text, args)
}

func list[T any](ctx context.Context, l Lists, doing, text string, args []any) (out []T, err error) {
	err = l.Select(ctx, doing, text, args, func(scan Scan) error {
		var record []byte
		var v T
		if err := scan(&record); err != nil {
			return err
		}
		err := json.Unmarshal(record, &v)
		out = append(out, v)
		return err //nolint:wrapcheck // Select does
	})
	return out, err
}

// promotions returns the list of records: column record, of one more row than
// the page holds, so that the last page is known as such.
func (d Dialect) promotions(f history.Filter, page history.Page) (string, []any, error) {
	s := &statement{d: d}
	s.text.WriteString("SELECT record FROM promotions")
	s.equal("project", f.Project)
	s.equal("stage", f.Stage)
	s.equal("freight", f.Freight)
	s.equal("phase", f.Phase)
	s.anyOf("kind", f.Kinds)
	s.who("requested_by", f.Who)
	s.between("created_at", f.From, f.Until)
	if page.After != "" {
		c, err := history.ParseCursor(page.After)
		if err != nil {
			return "", nil, err //nolint:wrapcheck // one of history's own
		}
		s.where("(created_at, seq, name, uid) < (" + s.arg(d.Instant(c.At)) + ", " + s.arg(c.Seq) + ", " + s.arg(c.Name) + ", " + s.arg(c.ID) + ")")
	}
	s.text.WriteString(" ORDER BY created_at DESC, seq DESC, name DESC, uid DESC LIMIT " + strconv.Itoa(page.Size()+1))
	return s.text.String(), s.args, nil
}

// entries returns the list of entries: column record, of one more row than the
// page holds.
func (d Dialect) entries(f history.Filter, page history.Page) (string, []any, error) {
	s := &statement{d: d}
	s.text.WriteString("SELECT record FROM entries e")
	s.where(standing)
	s.equal("project", f.Project)
	if f.Stage != "" {
		s.anyOf("stage", []string{f.Stage, "*"})
	}
	if f.Freight != "" {
		s.where("freight LIKE " + s.arg("% "+f.Freight+" %"))
	}
	s.anyOf("action", f.Kinds)
	s.who("actor", f.Who)
	s.between("at", f.From, f.Until)
	if page.After != "" {
		c, err := history.ParseCursor(page.After)
		if err != nil {
			return "", nil, err //nolint:wrapcheck // one of history's own
		}
		s.where("(at, key) < (" + s.arg(d.Instant(c.At)) + ", " + s.arg(c.ID) + ")")
	}
	s.text.WriteString(" ORDER BY at DESC, key DESC LIMIT " + strconv.Itoa(page.Size()+1))
	return s.text.String(), s.args, nil
}

// FreightWords is how the column freight of an entry holds names, so that one
// of them can be found.
func FreightWords(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " " + strings.Join(names, " ") + " "
}

// cut takes the row off that is more than the page holds, and returns the
// cursor of the next page: empty on the last.
func cut[T any](rows []T, page history.Page, cursor func(*T) history.Cursor) ([]T, string) {
	if len(rows) <= page.Size() {
		return rows, ""
	}
	rows = rows[:page.Size()]
	return rows, cursor(&rows[len(rows)-1]).String()
}

// maxUnended bounds what unended returns: objects of one Project.
const maxUnended = 10000

// standing is the condition for the row of an entry e that lists show: the one
// that knows an actor, where there is one.
const standing = "(e.actor <> '' OR NOT EXISTS (SELECT 1 FROM entries k WHERE k.key = e.key AND k.actor <> ''))"

// unended returns the SELECT of the newest entry of each object of a Project
// that none says is gone.
func (d Dialect) unended(project string) (string, []any) {
	s := &statement{d: d}
	s.text.WriteString("SELECT e.record FROM entries e")
	s.where("e.project = " + s.arg(project))
	s.where(standing)
	var actions []string
	for _, a := range history.Beginnings() {
		actions = append(actions, string(a))
	}
	s.anyOf("e.action", actions)
	s.where("NOT EXISTS (SELECT 1 FROM entries g WHERE g.object = e.object AND (g.ends OR (g.at, g.key) > (e.at, e.key)))")
	s.text.WriteString(" ORDER BY e.at DESC, e.key DESC LIMIT " + strconv.Itoa(maxUnended))
	return s.text.String(), s.args
}
