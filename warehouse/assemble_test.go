package warehouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

func images(repo string, tags ...string) v1alpha1.SubscriptionStatus {
	s := v1alpha1.SubscriptionStatus{Type: warehouse.TypeImage, RepoURL: repo}
	for _, tag := range tags {
		s.Candidates = append(s.Candidates, image(repo, tag, len(tag)*1000+int(tag[len(tag)-1])))
	}
	return s
}

func charts(versions ...string) v1alpha1.SubscriptionStatus {
	const url = "https://charts.example"
	s := v1alpha1.SubscriptionStatus{Type: warehouse.TypeChart, RepoURL: url, Chart: "app"}
	for _, v := range versions {
		s.Charts = append(s.Charts, v1alpha1.Chart{RepoURL: url, Name: "app", Version: v})
	}
	return s
}

func commits(ids ...string) v1alpha1.SubscriptionStatus {
	const url = "https://git.example/app.git"
	s := v1alpha1.SubscriptionStatus{Type: warehouse.TypeGit, RepoURL: url}
	for _, id := range ids {
		s.Commits = append(s.Commits, v1alpha1.Commit{RepoURL: url, ID: strings.Repeat(id, 40), Branch: "main"})
	}
	return s
}

// shown writes sets as "1.2 + 0.1.0 | 1.3 + 0.1.0".
func shown(sets []v1alpha1.Artifacts) string {
	var out []string
	for _, s := range sets {
		out = append(out, strings.Join(s.Versions(), " + "))
	}
	return strings.Join(out, " | ")
}

func TestAssemble(t *testing.T) {
	const equal = "imageFrom('r.example/app').Tag == chartFrom('https://charts.example', 'app').Version"
	type subs = []v1alpha1.SubscriptionStatus
	held := func(statuses subs) v1alpha1.Freight { // Freight of the newest candidates
		w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Name: "w"}, Status: v1alpha1.WarehouseStatus{Subscriptions: statuses}}
		made, err := warehouse.Assemble(w, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := warehouse.BuildFreight(w, made.Sets[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		return *f
	}
	for _, c := range []struct {
		why      string
		policy   v1alpha1.FreightCreationPolicy
		criteria string
		subs     subs
		existing []v1alpha1.Freight
		want     string
		isHeld   bool
	}{
		{why: "newest of each", subs: subs{images("r.example/app", "1.3", "1.2"), charts("0.2.0", "0.1.0"), commits("a", "b")}, want: "1.3 + aaaaaaa + 0.2.0"},
		{why: "manual makes nothing", policy: v1alpha1.FreightManual, subs: subs{images("r.example/app", "1.3")}},
		{
			why: "every new version of the first, oldest first", policy: v1alpha1.FreightEvery,
			subs:     subs{images("r.example/app", "1.4", "1.3", "1.2", "1.1"), charts("0.1.0")},
			existing: []v1alpha1.Freight{held(subs{images("r.example/app", "1.2"), charts("0.0.9")})},
			want:     "1.3 + 0.1.0 | 1.4 + 0.1.0",
		},
		{
			why: "every: the first time only the newest", policy: v1alpha1.FreightEvery,
			subs: subs{images("r.example/app", "1.4", "1.3", "1.2")}, want: "1.4",
		},
		{
			why: "every: the first has nothing new, another has", policy: v1alpha1.FreightEvery,
			subs:     subs{images("r.example/app", "1.4", "1.3"), charts("0.2.0", "0.1.0")},
			existing: []v1alpha1.Freight{held(subs{images("r.example/app", "1.4"), charts("0.1.0")})},
			want:     "1.4 + 0.2.0",
		},
		{
			why: "every: a crash after the first of three is made up for", policy: v1alpha1.FreightEvery,
			subs: subs{images("r.example/app", "1.4", "1.3", "1.2", "1.1")},
			existing: []v1alpha1.Freight{
				held(subs{images("r.example/app", "1.1")}), held(subs{images("r.example/app", "1.2")}),
			},
			want: "1.3 | 1.4",
		},
		{
			why: "criteria: the newest chart that fits the newest image", criteria: equal,
			subs: subs{images("r.example/app", "1.2.0"), charts("1.3.0", "1.2.0")}, want: "1.2.0 + 1.2.0",
		},
		{
			why: "criteria: an image whose chart is not there yet waits", criteria: equal,
			subs: subs{images("r.example/app", "1.3.0", "1.2.0"), charts("1.2.0")}, isHeld: true,
		},
		{
			why: "criteria with every: each with its own chart", criteria: equal, policy: v1alpha1.FreightEvery,
			subs:     subs{images("r.example/app", "1.4.0", "1.3.0", "1.2.0"), charts("1.4.0", "1.3.0", "1.2.0")},
			existing: []v1alpha1.Freight{held(subs{images("r.example/app", "1.2.0"), charts("1.2.0")})},
			want:     "1.3.0 + 1.3.0 | 1.4.0 + 1.4.0",
		},
		{why: "criteria about a commit", criteria: "commitFrom('https://git.example/app').Branch == 'main'", subs: subs{commits("c")}, want: "ccccccc"},
	} {
		w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
		w.Spec.FreightCreationPolicy = c.policy
		w.Status.Subscriptions = c.subs
		criteria, err := warehouse.CompileCriteria(&v1alpha1.FreightCreationCriteria{Expression: c.criteria})
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		made, err := warehouse.Assemble(w, criteria, c.existing)
		if err != nil || shown(made.Sets) != c.want || made.IsHeldBack != c.isHeld {
			t.Errorf("%s: got %q, held back %v, %v; want %q", c.why, shown(made.Sets), made.IsHeldBack, err, c.want)
		}
	}
}

func TestCriteriaSayWhatIsWrong(t *testing.T) {
	for _, source := range []string{"imageFrom(", "imageFrom('a').Tag", strings.Repeat("(", 300)} {
		if _, err := warehouse.CompileCriteria(&v1alpha1.FreightCreationCriteria{Expression: source}); !errors.Is(err, warehouse.ErrInvalid) {
			t.Errorf("%q: %v", source, err)
		}
	}
	w := &v1alpha1.Warehouse{Status: v1alpha1.WarehouseStatus{Subscriptions: []v1alpha1.SubscriptionStatus{images("r.example/app", "1")}}}
	criteria, err := warehouse.CompileCriteria(&v1alpha1.FreightCreationCriteria{Expression: "imageFrom('r.example/other').Tag == '1'"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := warehouse.Assemble(w, criteria, nil); !errors.Is(err, warehouse.ErrInvalid) || !strings.Contains(err.Error(), "no subscription watches it") {
		t.Errorf("got %v", err)
	}
}

// Freight of images keeps its name; commits and charts count towards it.
func TestFreightNameOfEverything(t *testing.T) {
	origin := v1alpha1.Origin{Name: "w"}
	set := v1alpha1.Artifacts{Images: images("r.example/app", "1.0").Candidates, Commits: commits("a").Commits, Charts: charts("0.1.0").Charts}
	name := func(change func(*v1alpha1.Artifacts)) string {
		t.Helper()
		a := v1alpha1.Artifacts{Images: append([]v1alpha1.Image(nil), set.Images...), Commits: append([]v1alpha1.Commit(nil), set.Commits...), Charts: append([]v1alpha1.Chart(nil), set.Charts...)}
		change(&a)
		n, err := warehouse.FreightName(origin, a)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	base := name(func(*v1alpha1.Artifacts) {})
	for why, change := range map[string]func(*v1alpha1.Artifacts){
		"the branch":  func(a *v1alpha1.Artifacts) { a.Commits[0].Branch = "other" },
		"the message": func(a *v1alpha1.Artifacts) { a.Commits[0].Message = "x" },
		"spelling":    func(a *v1alpha1.Artifacts) { a.Commits[0].RepoURL = "https://Git.example/app/" },
	} {
		if name(change) != base {
			t.Errorf("%s matters", why)
		}
	}
	for why, change := range map[string]func(*v1alpha1.Artifacts){
		"commit":   func(a *v1alpha1.Artifacts) { a.Commits[0].ID = strings.Repeat("b", 40) },
		"tag":      func(a *v1alpha1.Artifacts) { a.Commits[0].Tag = "v1" },
		"version":  func(a *v1alpha1.Artifacts) { a.Charts[0].Version = "0.2.0" },
		"chart":    func(a *v1alpha1.Artifacts) { a.Charts[0].Name = "web" },
		"no chart": func(a *v1alpha1.Artifacts) { a.Charts = nil },
	} {
		if name(change) == base {
			t.Errorf("%s does not matter", why)
		}
	}
}

func TestPrune(t *testing.T) {
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
	w.Spec.FreightRetention.Keep = 3
	var all []v1alpha1.Freight
	for i := 1; i <= 12; i++ {
		f := v1alpha1.Freight{Origin: v1alpha1.Origin{Name: "w"}, Order: int64(i)}
		f.Name = fmt.Sprintf("f%d", i)
		all = append(all, f)
	}
	other := v1alpha1.Freight{Origin: v1alpha1.Origin{Name: "other"}, Order: 1}
	other.Name = "of-another"
	all = append(all, other)
	ended := metav1.NowMicro()
	stage := func(name string, current, good string, by string) v1alpha1.Stage {
		st := v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if current != "" {
			st.Status.Current = []v1alpha1.StageFreight{{Freight: current, Promotion: by}}
		}
		if good != "" {
			st.Status.Good = []v1alpha1.StageFreight{{Freight: good}}
		}
		return st
	}
	promotion := func(name, stage, freight string, isEnded bool, before string) v1alpha1.Promotion {
		p := v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PromotionSpec{Stage: stage, Freight: freight}}
		if isEnded {
			p.Status.FinishedAt = &ended
		}
		if before != "" {
			p.Status.Plan = &v1alpha1.PromotionPlan{Before: &v1alpha1.StageBefore{Current: []v1alpha1.StageFreight{{Freight: before}}}}
		}
		return p
	}
	all[7].Status.Stages = map[string]v1alpha1.FreightInStage{"uat": {EnteredAt: &metav1.Time{Time: ended.Time}}}
	uses := warehouse.Uses{
		Stages: []v1alpha1.Stage{stage("prod", "f1", "f2", "prod.1"), stage("test", "f12", "", "")},
		Promotions: []v1alpha1.Promotion{
			promotion("prod.1", "prod", "f1", true, "f5"), // brought what runs: what it replaced is what a revert goes to
			promotion("prod.0", "prod", "f6", true, ""),   // long ended
			promotion("uat.3", "uat", "f3", false, ""),    // on its way
		},
	}
	var got []string
	for _, f := range warehouse.Prune(w, all, uses) {
		got = append(got, f.Name)
	}
	// f8 says itself that it is in a Stage; f10 to f12 are the newest.
	if d := cmp.Diff([]string{"f4", "f6", "f7", "f9"}, got); d != "" {
		t.Error(d)
	}
	w.Spec.FreightRetention.Keep = 0
	if got := warehouse.Prune(w, all, warehouse.Uses{}); got != nil {
		t.Errorf("the default keeps 100: %v", got)
	}
}
