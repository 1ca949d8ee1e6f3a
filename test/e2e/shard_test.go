package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/replicas"
	"github.com/waybill-dev/waybill/internal/shard"
)

const (
	// shardLease is short, so that the test need not wait for the real one, and long
	// enough that a busy machine seldom loses it.
	shardLease = 9 * time.Second
	// sharded is how many Applications are shared out.
	sharded = 24
)

// sharing is a Project of many Applications and the replicas that share them, each
// behind a recorder.
type sharing struct {
	*world
	replicas []*member
	round    int
}

// member is one replica.
type member struct {
	*server
	name string
	id   string
	sent *recorder
	// left is when it was told to end.
	left time.Time
}

// TestSharedApplications runs two, then three real waybilld that share Applications.
// One is killed in a sync with hooks, one is paused for longer than its Lease, one ends
// properly: in the end, and from beginning to end, who wrote the objects of an
// Application held it, and nobody else did at the time.
func TestSharedApplications(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	leader := s.joins("a")
	s.eventually("it leads", func() error { return s.leader("") })
	s.make()
	s.isShared("one has everything", leader)
	b := s.joins("b", failpoint.Env+"="+controllers.FailAfterHook+"=kill@1")
	s.isShared("two share", leader, b)
	c := s.joins("c")
	s.commit() // what changes hands is in the middle of a sync
	s.isShared("three share", leader, b, c)
	s.restsQuietly()

	// b kills itself in a sync with hooks.
	jobs := s.watchJobs(s.project + "-hooked")
	hooked := s.hooked(b)
	s.eventually("it kills itself", b.wasKilled)
	died := time.Now()
	s.isShared("two are left", leader, c)
	var op *v1alpha1.Operation
	s.eventually("the sync with hooks is finished by another", func() error {
		a := &v1alpha1.Application{}
		s.get(hooked, a)
		if op = a.Status.Operation; op == nil || op.Phase != v1alpha1.OperationSucceeded || a.Status.Sync.Status != v1alpha1.SyncSynced {
			return fmt.Errorf("the operation is %+v, sync is %+v", op, a.Status.Sync)
		}
		return nil
	})
	t.Logf("in sync %s after it was killed, with a Lease of %s", time.Since(died).Round(time.Millisecond), shardLease)
	for run, uids := range jobs.all() {
		if uids != 1 {
			t.Errorf("%d Jobs were made for %s", uids, run)
		}
	}
	if n := jobs.count(); n != 2 {
		t.Errorf("%d Jobs were made for two hooks: %v", n, jobs.all())
	}

	// c is paused for longer than its Lease, and there is work for it.
	share := s.holds(c)
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.commit()
	s.isShared("one is awake", leader)
	woken := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.isShared("it is back", leader, c)
	if back := s.holds(c); !slices.Equal(back, share) {
		t.Errorf("it had %v, and has %v again", share, back)
	}
	if !slices.ContainsFunc(c.sent.all(), func(r request) bool { return r.holder == c.id && r.begun.After(woken) && r.code == http.StatusOK }) {
		t.Error("it did not say again what it holds")
	}

	// c ends properly, and nobody has to wait for its Lease.
	c.left = time.Now()
	c.stop()
	var lease coordination.Lease
	if err := s.client.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: "waybill-replica-" + c.id}, &lease); err != nil {
		t.Error(err)
	} else if h := lease.Spec.HolderIdentity; h != nil && *h != "" {
		t.Errorf("it ended properly, and its Lease says that %q is there", *h)
	}
	s.isShared("one is left", leader)
	s.commit()
	s.isShared("it does everything", leader)
	s.onlyHoldersWrote()
}

// newSharing makes the surroundings; replicas join later.
func newSharing(t *testing.T) *sharing {
	t.Helper()
	s := &sharing{world: newWorld(t, "shared")}
	s.guestbook()
	return s
}

// joins starts one more replica, and waits until it has its Lease.
func (s *sharing) joins(name string, environment ...string) *member {
	s.t.Helper()
	flags := []string{"--leader-elect", "--shard", "--shard-lease", shardLease.String()}
	m := &member{name: name}
	if len(s.replicas) == 0 {
		m.server = s.server
		m.flags = flags
	} else {
		var err error
		if m.server, err = s.newServer(s.t.Name()+"-"+name, s.t.TempDir(), flags...); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			m.stop()
			_ = m.log.Close()
		})
	}
	config, err := s.cluster.ClientConfig("system:serviceaccount:"+systemNamespace+":waybill",
		"system:serviceaccounts", "system:serviceaccounts:"+systemNamespace)
	if err != nil {
		s.t.Fatal(err)
	}
	m.sent = newRecorder(s.t, config)
	m.kubeconfig = m.sent.kubeconfig
	known := s.ids()
	if err := m.start(environment...); err != nil {
		s.t.Fatal(err)
	}
	s.eventually(name+" joins", func() error {
		for _, id := range s.ids() {
			if !slices.Contains(known, id) {
				m.id = id
				return nil
			}
		}
		return errors.Join(errors.New("there is no new Lease"), m.isReady())
	})
	s.replicas = append(s.replicas, m)
	return m
}

// ids are those in the Leases of replicas.
func (s *sharing) ids() []string {
	s.t.Helper()
	var leases coordination.LeaseList
	if err := s.client.List(s.t.Context(), &leases, client.InNamespace(systemNamespace), client.HasLabels{replicas.Label}); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, l := range leases.Items {
		out = append(out, strings.TrimPrefix(l.Name, "waybill-replica-"))
	}
	return out
}

// make makes the Project and its Applications, each of one ConfigMap.
func (s *sharing) make() {
	s.t.Helper()
	s.commit()
	s.pipeline([]string{"test"})
	for i := range sharded {
		s.application(fmt.Sprintf("app%d", i), fmt.Sprintf("app%d", i), s.project+"-many")
	}
}

func (s *sharing) application(name, path, namespace string) {
	s.t.Helper()
	app := &v1alpha1.Application{Spec: v1alpha1.ApplicationSpec{
		Source:      v1alpha1.ApplicationSource{RepoURL: s.gitURL, TargetRevision: "shared", Path: path},
		Destination: v1alpha1.Destination{Namespace: namespace},
		SyncPolicy: v1alpha1.SyncPolicy{
			Automated: &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true}, SyncOptions: []string{"CreateNamespace=true"},
		},
	}}
	app.Namespace, app.Name = s.project, name
	if err := s.client.Create(s.t.Context(), app); err != nil {
		s.t.Fatal(err)
	}
}

// commit makes the next revision of all of them.
func (s *sharing) commit() {
	s.t.Helper()
	s.round++
	files := map[string]gitserver.File{
		"hooked/pre.yaml":  {Content: hookJob("pre", "PreSync")},
		"hooked/post.yaml": {Content: hookJob("post", "PostSync")},
		"hooked/a.yaml":    {Content: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hooked}\n"},
	}
	for i := range sharded {
		name := fmt.Sprintf("app%d", i)
		files[name+"/a.yaml"] = gitserver.File{Content: fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {round: \"%d\"}\n", name, s.round)}
	}
	s.git.CommitFiles("guestbook", gitserver.Commit{Branch: "shared", Message: fmt.Sprintf("round %d", s.round), Files: files})
}

// hooked makes an Application with hooks that belongs to a replica, and returns its
// name.
func (s *sharing) hooked(m *member) string {
	s.t.Helper()
	ids := make([]string, 0, len(s.replicas))
	for _, r := range s.replicas {
		ids = append(ids, r.id)
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("hooked%d", i)
		if shard.Owner(v1alpha1.InCluster+"/"+s.project+"/"+name, ids) == m.id {
			s.application(name, "hooked", s.project+"-hooked")
			return name
		}
	}
}

// isShared waits until every Application is held by the replica that the hash says, and
// runs the newest revision.
func (s *sharing) isShared(what string, among ...*member) {
	s.t.Helper()
	ids, has := make([]string, 0, len(among)), map[string]int{}
	for _, m := range among {
		ids = append(ids, m.id)
	}
	s.eventually(what, func() error {
		var apps v1alpha1.ApplicationList
		if err := s.client.List(s.t.Context(), &apps, client.InNamespace(s.project)); err != nil {
			return err
		}
		clear(has)
		for _, a := range apps.Items {
			owner := shard.Owner(v1alpha1.InCluster+"/"+s.project+"/"+a.Name, ids)
			if h := a.Status.Holder; h == nil || h.Replica != owner {
				return fmt.Errorf("%s belongs to %s and is held by %+v", a.Name, owner, h)
			}
			has[owner]++
			if !strings.HasPrefix(a.Name, "app") {
				continue
			}
			found := s.configMap(a.Name)
			if a.Status.Sync.Status != v1alpha1.SyncSynced || found != fmt.Sprint(s.round) {
				return fmt.Errorf("%s: sync is %+v, the cluster has round %q, want %d", a.Name, a.Status.Sync, found, s.round)
			}
		}
		return nil
	})
	for _, id := range ids {
		if has[id] == 0 {
			s.t.Errorf("%s: %s has none: %v", what, id, has)
		}
	}
}

// configMap is the round of an Application's object in the cluster.
func (s *sharing) configMap(name string) string {
	var c corev1.ConfigMap
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: s.project + "-many", Name: name}, &c); err != nil {
		return err.Error()
	}
	return c.Data["round"]
}

// holds lists what a replica holds.
func (s *sharing) holds(m *member) []string {
	s.t.Helper()
	var apps v1alpha1.ApplicationList
	if err := s.client.List(s.t.Context(), &apps, client.InNamespace(s.project)); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, a := range apps.Items {
		if h := a.Status.Holder; h != nil && h.Replica == m.id {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

// restsQuietly asserts that nothing is sent for a while but what keeps Leases.
func (s *sharing) restsQuietly() {
	s.t.Helper()
	const rest = 4 * time.Second
	quietSince := func(since time.Time) error {
		for _, m := range s.replicas {
			for _, r := range m.sent.all() {
				if r.begun.After(since) && !r.isWatch() && !strings.Contains(r.path, "/leases") {
					return fmt.Errorf("%s sent %s", m.name, r)
				}
			}
		}
		return nil
	}
	s.eventually("it comes to rest, and rests", func() error {
		since := time.Now()
		for time.Since(since) < rest {
			if err := quietSince(since); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond) // the time at rest is what is looked at
		}
		return nil
	})
}

// onlyHoldersWrote replays what all replicas sent: who wrote an object of an
// Application had said before that it holds it, nobody else had said so since, and no
// two of them wrote at the same time.
func (s *sharing) onlyHoldersWrote() {
	s.t.Helper()
	type sent struct {
		request
		by *member
	}
	byApp := map[string][]sent{}
	for _, m := range s.replicas {
		for _, r := range m.sent.all() {
			if app := s.applicationOf(r); app != "" && r.method != http.MethodGet {
				byApp[app] = append(byApp[app], sent{r, m})
			}
		}
	}
	if len(byApp) < sharded {
		s.t.Errorf("writes to %d Applications were seen: %v", len(byApp), slices.Sorted(maps.Keys(byApp)))
	}
	for app, all := range byApp {
		slices.SortFunc(all, func(a, b sent) int { return a.begun.Compare(b.begun) })
		holder, last := "", sent{}
		for _, r := range all {
			switch {
			case r.claims:
				if r.code != http.StatusOK {
					continue
				}
				if r.holder != "" && holder != "" && r.holder != holder && !s.wasSilent(holder, r.begun) {
					s.t.Errorf("%s: %s took it at %s from %s, which renewed its Lease", app, r.by.name, r.begun.Format(time.StampMicro), holder)
				}
				holder = r.holder
				continue
			case strings.Contains(r.path, "/applications/"):
				continue // the API server refuses what is out of date
			case holder != r.by.id:
				s.t.Errorf("%s: %s (%s) sent %s at %s while it was held by %q", app, r.by.name, r.by.id, r, r.begun.Format(time.StampMicro), holder)
			case last.by != nil && last.by != r.by && r.begun.Before(last.ended):
				s.t.Errorf("%s: %s sent %s before %s had its answer to %s", app, r.by.name, r, last.by.name, last)
			}
			last = r
		}
	}
}

// wasSilent reports whether a replica had left before an instant, or had at some time
// before it not renewed its Lease for so long that it had to stop.
func (s *sharing) wasSilent(id string, before time.Time) bool {
	at := slices.IndexFunc(s.replicas, func(m *member) bool { return m.id == id })
	if at < 0 {
		return false
	}
	m := s.replicas[at]
	if !m.left.IsZero() && m.left.Before(before) {
		return true
	}
	renewals := []time.Time{before}
	for _, r := range m.sent.all() {
		if r.method != http.MethodGet && strings.HasSuffix(r.path, "/leases/waybill-replica-"+id) && r.code == http.StatusOK && r.begun.Before(before) {
			renewals = append(renewals, r.begun)
		}
	}
	slices.SortFunc(renewals, time.Time.Compare)
	for i := range len(renewals) - 1 {
		if renewals[i+1].Sub(renewals[i]) > shardLease*2/3 {
			return true
		}
	}
	return false
}

// applicationOf names the Application that a request is about; "": none.
func (s *sharing) applicationOf(r request) string {
	parts := strings.Split(r.path, "/")
	at := slices.IndexFunc(parts, func(p string) bool { return p == "applications" || p == "configmaps" })
	if at < 0 || at+1 >= len(parts) || !strings.Contains(r.path, "/namespaces/"+s.project) {
		return ""
	}
	if parts[at] == "configmaps" && parts[at+1] == "hooked" {
		return "" // of which one is not in its name
	}
	return parts[at+1]
}
