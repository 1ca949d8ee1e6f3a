// Package query writes the lists of the history as SQL, for the drivers of
// package history. What differs between databases is how a parameter is marked
// and how an instant is kept; the conditions, their order and their columns are
// the same.
package query

import (
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

// Promotions returns the list of records: column record, of one more row than
// the page holds, so that the last page is known as such.
func (d Dialect) Promotions(f history.Filter, page history.Page) (string, []any, error) {
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

// Entries returns the list of entries: column record, of one more row than the
// page holds.
func (d Dialect) Entries(f history.Filter, page history.Page) (string, []any, error) {
	s := &statement{d: d}
	s.text.WriteString("SELECT record FROM entries")
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

// Cut takes the row off that is more than the page holds, and returns the
// cursor of the next page: empty on the last.
func Cut[T any](rows []T, page history.Page, cursor func(*T) history.Cursor) ([]T, string) {
	if len(rows) <= page.Size() {
		return rows, ""
	}
	rows = rows[:page.Size()]
	return rows, cursor(&rows[len(rows)-1]).String()
}

// maxUnended bounds what Unended returns: objects of one Project.
const maxUnended = 10000

// Unended returns the SELECT of the newest entry of each object of a Project
// that none says is gone; project is the mark of the parameter.
func Unended(project string) string {
	return `SELECT e.record FROM entries e WHERE e.project = ` + project + ` AND e.object <> ''
		AND NOT EXISTS (SELECT 1 FROM entries g WHERE g.object = e.object AND (g.ends OR (g.at, g.key) > (e.at, e.key)))
		ORDER BY e.at DESC, e.key DESC LIMIT ` + strconv.Itoa(maxUnended)
}
