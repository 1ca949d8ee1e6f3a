package rest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/chain"
	"github.com/waybill-dev/waybill/promotion"
)

// memory is a store that may be down.
type memory struct {
	*sqlite.Store
	down atomic.Bool
}

func (m *memory) Add(ctx context.Context, e history.Entry) error { return m.PutEntry(ctx, e) }

func (m *memory) ListPromotions(ctx context.Context, f history.Filter, page history.Page) ([]history.Promotion, string, error) {
	if m.down.Load() {
		return nil, "", history.ErrUnavailable
	}
	return m.Store.ListPromotions(ctx, f, page)
}

func (m *memory) ListEntries(ctx context.Context, f history.Filter, page history.Page) ([]history.Entry, string, error) {
	if m.down.Load() {
		return nil, "", history.ErrUnavailable
	}
	return m.Store.ListEntries(ctx, f, page)
}

func (m *memory) GetPromotion(ctx context.Context, project, name string) (history.Promotion, error) {
	if m.down.Load() {
		return history.Promotion{}, history.ErrUnavailable
	}
	return m.Store.GetPromotion(ctx, project, name)
}

// TestHistoryIsOneList: what the cluster has and what only the store has is one
// list with one cursor, each once; without the store the page says so.
func TestHistoryIsOneList(t *testing.T) {
	f := newProject(t)
	victor := shared.as(t, "victor")
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	record := func(stage string, n int, edit func(*history.Promotion)) {
		r := historytest.Promotion(f.name, stage, n)
		r.CreatedAt = at.Add(time.Duration(n) * time.Minute)
		r.UID = fmt.Sprintf("%s-%s", f.name, r.Name)
		if edit != nil {
			edit(&r)
		}
		if err := shared.history.PutPromotion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 4; n++ { // pruned since
		record("test", n, nil)
	}
	record("gone", 5, func(r *history.Promotion) { r.Kind, r.RequestedBy = "Rollback", "waybill:bob" })
	for n := int64(6); n <= 8; n++ { // these are objects as well
		p := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Name: promotion.Name("test", n, nameOf(1)), Namespace: f.name}, Spec: v1alpha1.PromotionSpec{Stage: "test", Kind: v1alpha1.KindPromote, Freight: nameOf(1), RequestedBy: "waybill-local-admin"}}
		create(t, p)
		p.Status.Phase = v1alpha1.PhaseSucceeded
		updateStatus(t, p)
		r := history.OfPromotion(p, n, func(string) *v1alpha1.Freight { return nil })
		if err := shared.history.PutPromotion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	list := func(query string) model.PromotionList {
		var l model.PromotionList
		victor.get(t, f.path("/history?"+query), &l)
		return l
	}
	eventually(t, func() error {
		if l := list(""); len(l.Items) != 8 || !l.Items[0].Finished {
			return fmt.Errorf("%d items", len(l.Items))
		}
		return nil
	})
	names := func(items []model.Promotion) []string {
		var out []string
		for _, p := range items {
			out = append(out, strings.Join(strings.Split(p.Name, ".")[:2], "."))
		}
		return out
	}
	want := []string{"test.8", "test.7", "test.6", "gone.5", "test.4", "test.3", "test.2", "test.1"}
	for _, size := range []int{1, 2, 3, 5, 7, 8, 50} {
		var got []string
		token := ""
		for range 10 {
			l := list(fmt.Sprintf("limit=%d&page=%s", size, token))
			if len(l.Items) > size || l.Warning != "" {
				t.Errorf("%d items, warning %q", len(l.Items), l.Warning)
			}
			got = append(got, names(l.Items)...)
			if token = l.NextPage; token == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d: -want +got\n%s", size, d)
		}
	}
	for query, want := range map[string][]string{
		"stage=gone":                         {"gone.5"},
		"kind=Rollback":                      {"gone.5"},
		"who=bob":                            {"gone.5"},
		"who=ada":                            {"test.4", "test.3", "test.2", "test.1"},
		"who=waybill-local-admin&stage=test": {"test.8", "test.7", "test.6"},
		"freight=" + historytest.Promotion("", "", 3).Freight.Name: {"test.3"},
		"freight=1.26.0": {"test.8", "test.7", "test.6"},
		"until=" + url.QueryEscape(at.Add(2*time.Minute).Format(time.RFC3339)): {"test.1"},
		"from=" + url.QueryEscape(at.Add(30*time.Minute).Format(time.RFC3339)): {"test.8", "test.7", "test.6"},
	} {
		if d := cmp.Diff(want, names(list(query).Items)); d != "" {
			t.Errorf("%s: -want +got\n%s", query, d)
		}
	}
	// One that is pruned still has its page, with its steps.
	old := historytest.Promotion(f.name, "test", 3)
	var p model.Promotion
	victor.get(t, f.path("/promotions/"+old.Name), &p)
	if p.Freight.Version != "1.0.3" || p.RequestedBy != "waybill:ada" || len(p.Steps) != 3 || p.Steps[1].Attempts != 2 || p.Phase != model.PhaseSucceeded || !p.Finished {
		t.Errorf("%+v", p)
	}
	// Nobody sees what is in another Project.
	if a := shared.as(t, "mallory").do(t, "GET", f.path("/history"), nil); a.status != 404 {
		t.Errorf("a stranger gets %d", a.status)
	}

	shared.history.down.Store(true)
	defer shared.history.down.Store(false)
	if l := list(""); !slices.Equal(names(l.Items), want[:3]) || l.Warning == "" {
		t.Errorf("without the store: %v, warning %q", names(l.Items), l.Warning)
	}
	for path, want := range map[string]int{"/promotions/" + historytest.Promotion(f.name, "test", 2).Name: 503, "/audit": 503, "/promotions/" + promotion.Name("test", 8, nameOf(1)): 200} {
		if a := victor.do(t, "GET", f.path(path), nil); a.status != want {
			t.Errorf("%s without the store: %d, want %d: %s", path, a.status, want, a.body)
		}
	}
}

// TestAudit: who did what through the API is kept with the name, and shown to
// those who may see the Project; who signed in, to administrators.
func TestAudit(t *testing.T) {
	f := newProject(t)
	admin, victor := shared.as(t, "admin"), shared.as(t, "victor")
	var z model.Freeze
	made := admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "prod", Reason: "release day"})
	made.into(t, &z)
	eventually(t, func() error {
		if a := admin.do(t, "DELETE", f.path("/freezes/"+z.Name), nil); a.status != 204 {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	say := func(l model.AuditList) []string {
		var out []string
		for _, e := range l.Items {
			out = append(out, fmt.Sprintf("%s by %s on %s %s: %s via %s", e.Action, e.Actor, e.Project, e.Stage, e.Reason, e.Via))
		}
		return out
	}
	var l model.AuditList
	victor.get(t, f.path("/audit"), &l)
	want := []string{
		fmt.Sprintf("thaw by waybill:admin on %s prod:  via api", f.name),
		fmt.Sprintf("freeze by waybill:admin on %s prod: release day via api", f.name),
	}
	if d := cmp.Diff(want, say(l)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	var one, two model.AuditList
	victor.get(t, f.path("/audit?limit=1"), &one)
	victor.get(t, f.path("/audit?limit=1&page="+one.NextPage), &two)
	if d := cmp.Diff(want, append(say(one), say(two)...)); d != "" || two.NextPage != "" {
		t.Errorf("in pages: next %q -want +got\n%s", two.NextPage, d)
	}
	for query, want := range map[string]int{"action=freeze": 1, "action=freeze&action=thaw": 2, "action=approve": 0, "who=admin": 2, "who=ada": 0, "stage=prod": 2, "stage=test": 0} {
		var l model.AuditList
		victor.get(t, f.path("/audit?"+query), &l)
		if len(l.Items) != want {
			t.Errorf("%s: %v, want %d", query, say(l), want)
		}
	}
	for path, want := range map[string]int{"/audit?action=dance": 400, "/audit?page=x": 400, "/audit?limit=0": 400} {
		if a := victor.do(t, "GET", f.path(path), nil); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
	if a := shared.as(t, "mallory").do(t, "GET", f.path("/audit"), nil); a.status != 404 {
		t.Errorf("a stranger gets %d", a.status)
	}
	if a := victor.do(t, "GET", "/api/v1/audit", nil); a.status != 403 {
		t.Errorf("a viewer of one Project gets all: %d %s", a.status, a.body)
	}
	var all model.AuditList
	admin.get(t, "/api/v1/audit?action=sign-in&who=victor", &all)
	if len(all.Items) == 0 || all.Items[0].Actor != "waybill:victor" || all.Items[0].Kind != "token" {
		t.Errorf("who signed in: %v", say(all))
	}
}

// TestAuditChain: the chain can be verified and read in parts by those who may
// read all of it, and by nobody else.
func TestAuditChain(t *testing.T) {
	admin, victor := shared.as(t, "admin"), shared.as(t, "victor")
	f := newProject(t)
	for n := range 3 {
		if err := shared.history.PutPromotion(t.Context(), historytest.Promotion(f.name, "prod", n)); err != nil {
			t.Fatal(err)
		}
	}
	var all model.AuditVerdict
	admin.get(t, "/api/v1/audit/verify", &all)
	if !all.Done || all.Rows < 3 || len(all.Breaks) != 0 || all.Head != all.Last {
		t.Fatalf("%+v", all)
	}
	walk := chain.From(chain.Start())
	for walk.Last.Seq < all.Last.Seq {
		var part model.AuditRows
		admin.get(t, fmt.Sprintf("/api/v1/audit/chain?limit=2&after=%d", walk.Last.Seq), &part)
		for _, r := range part.Items {
			if breaks := walk.Step(chain.Link{Seq: r.Seq, Prev: r.Prev, Hash: r.Hash, Entry: r.Entry}); breaks != nil {
				t.Fatal(breaks)
			}
		}
	}
	for query, want := range map[string]int{
		fmt.Sprintf("after=%d&hash=%s", all.Last.Seq, all.Last.Hash):           0,
		fmt.Sprintf("noted=%d&notedHash=%s", all.Last.Seq, all.Last.Hash):      0,
		fmt.Sprintf("noted=%d&notedHash=%s", all.Last.Seq, chain.Genesis):      1,
		fmt.Sprintf("noted=%d&notedHash=%s", all.Last.Seq+1000, all.Last.Hash): 1,
		fmt.Sprintf("after=%d&hash=%s", all.Last.Seq-1, all.Last.Hash):         1,
		fmt.Sprintf("after=%d", all.Last.Seq-1):                                0,
	} {
		var v model.AuditVerdict
		admin.get(t, "/api/v1/audit/verify?"+query, &v)
		if len(v.Breaks) != want || !v.Done {
			t.Errorf("%s: %+v, want %d breaks", query, v, want)
		}
	}
	var none model.AuditRows
	admin.get(t, "/api/v1/audit/chain?since="+url.QueryEscape(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), &none)
	if len(none.Items) != 0 {
		t.Errorf("what has not happened yet: %v", none.Items)
	}
	for path, want := range map[string]int{"verify?after=-1": 400, "verify?hash=x": 400, "verify?noted=1": 400, "chain?limit=0": 400, "chain?since=noon": 400} {
		if a := admin.do(t, "GET", "/api/v1/audit/"+path, nil); a.status != want {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, want)
		}
	}
	for _, path := range []string{"verify", "chain"} {
		if a := victor.do(t, "GET", "/api/v1/audit/"+path, nil); a.status != 403 {
			t.Errorf("%s for a viewer of one Project: %d %s", path, a.status, a.body)
		}
	}
}
