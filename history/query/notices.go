package query

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/history"
)

// idsAtOnce bounds the parameters of one statement.
const idsAtOnce = 500

// AddNotices keeps what is not known yet (history.Notices).
func (l Lists) AddNotices(ctx context.Context, all []history.Notice) error {
	text := "INSERT INTO notices (id, project, at, topic, outcome, record) VALUES (" + l.Dialect.marks(6) + ") ON CONFLICT (id) DO NOTHING"
	return l.Write(ctx, "write notices", func(ctx context.Context, t Tx) error {
		for i := range all {
			n := &all[i]
			raw, err := json.Marshal(n)
			if err != nil {
				return fmt.Errorf("encode notice %q: %w", n.ID, err)
			}
			if _, err := t.Exec(ctx, text, n.ID, n.Project, l.Dialect.Instant(n.At), n.Topic, string(n.Outcome), string(raw)); err != nil {
				return err //nolint:wrapcheck // the store does
			}
		}
		return nil
	})
}

// Notices returns the outbox, the oldest first (history.Notices).
func (l Lists) Notices(ctx context.Context, f history.NoticeFilter) ([]history.Notice, error) {
	s := &statement{d: l.Dialect}
	s.text.WriteString("SELECT record FROM notices")
	s.equal("project", f.Project)
	if f.IsWaiting {
		s.where("outcome = ''")
	}
	s.text.WriteString(" ORDER BY at, id LIMIT " + strconv.Itoa(history.MaxNotices))
	return list[history.Notice](ctx, l, "list notices", s.text.String(), s.args)
}

// SetNotices says what becomes of notices (history.Notices).
func (l Lists) SetNotices(ctx context.Context, ids []string, batch string, outcome history.Outcome) error {
	return l.Write(ctx, "write what became of notices", func(ctx context.Context, t Tx) error {
		for len(ids) > 0 {
			some := ids[:min(len(ids), idsAtOnce)]
			ids = ids[len(some):]
			s := &statement{d: l.Dialect}
			b, o := s.arg(batch), s.arg(string(outcome))
			s.text.WriteString("UPDATE notices SET outcome = " + o + ", record = " + l.Dialect.SetNotice(b, o))
			s.anyOf("id", some)
			if _, err := t.Exec(ctx, s.text.String(), s.args...); err != nil {
				return err //nolint:wrapcheck // the store does
			}
		}
		return nil
	})
}

// DropNotices forgets what is over (history.Notices).
func (l Lists) DropNotices(ctx context.Context, before, topicsBefore time.Time) error {
	s := &statement{d: l.Dialect}
	s.text.WriteString("DELETE FROM notices")
	s.where("outcome <> '' AND outcome <> '" + string(history.NoticeMark) + "'")
	s.where("(topic = '' AND at < " + s.arg(l.Dialect.Instant(before)) + " OR at < " + s.arg(l.Dialect.Instant(topicsBefore)) + ")")
	return l.Write(ctx, "forget notices", func(ctx context.Context, t Tx) error {
		_, err := t.Exec(ctx, s.text.String(), s.args...)
		return err //nolint:wrapcheck // the store does
	})
}
