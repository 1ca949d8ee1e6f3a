package historytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/history"
)

// Notice returns a made-up notice: the n-th of its Project.
func Notice(project string, n int) history.Notice {
	return history.Notice{
		ID: fmt.Sprintf("%s-n%d", project, n), Project: project, Notification: "on-call", Channel: "ops", Event: "PromotionFailed",
		At: noon.Add(time.Duration(n) * time.Minute), Body: []byte(`{"text": "it's ü"}`),
	}
}

func notices(t *testing.T, s history.Store) {
	ctx := t.Context()
	one, two, three, other := Notice("guestbook", 1), Notice("guestbook", 2), Notice("guestbook", 3), Notice("shop", 1)
	mark, down := Notice("guestbook", 0), Notice("guestbook", 4)
	mark.Outcome, mark.Body = history.NoticeMark, nil
	down.Topic, down.State = "Stage/u1", "Degraded"
	again := two
	again.Channel = "another"
	for range 2 {
		if err := s.AddNotices(ctx, []history.Notice{three, one, two, again, other, mark, down}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(what string, f history.NoticeFilter, want ...history.Notice) {
		t.Helper()
		got, err := s.Notices(ctx, f)
		same := cmp.Comparer(func(a, b []byte) bool { return len(a) > 0 == (len(b) > 0) })
		if d := cmp.Diff(want, got, same); d != "" || err != nil {
			t.Fatalf("%s: %v\n-want +got\n%s", what, err, d)
		}
	}
	is("all of a Project", history.NoticeFilter{Project: "guestbook"}, mark, one, two, three, down)
	is("what waits", history.NoticeFilter{IsWaiting: true}, one, other, two, three, down)
	set := func(batch string, outcome history.Outcome, all ...*history.Notice) {
		t.Helper()
		var ids []string
		for _, n := range all {
			n.Batch, n.Outcome = batch, outcome
			ids = append(ids, n.ID)
		}
		if err := s.SetNotices(ctx, ids, batch, outcome); err != nil {
			t.Fatal(err)
		}
	}
	set("b1", "", &two, &three)
	set("", history.NoticeSent, &one)
	set("", history.NoticeGivenUp, &down)
	is("what waits, two of it together", history.NoticeFilter{Project: "guestbook", IsWaiting: true}, two, three)
	if err := s.DropNotices(ctx, noon.Add(time.Hour), noon); err != nil {
		t.Fatal(err)
	}
	is("what was sent is forgotten, topics and what waits are not", history.NoticeFilter{Project: "guestbook"}, mark, two, three, down)
	if err := s.DropNotices(ctx, noon.Add(time.Hour), noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	is("topics that are older still", history.NoticeFilter{Project: "guestbook"}, mark, two, three)
}
