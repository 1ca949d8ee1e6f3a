package localkube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary finds waybill-kube: WAYBILL_KUBE, or bin/ of the repository.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("WAYBILL_KUBE")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "waybill-kube")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make kube", err)
	}
	return path
}

// start starts a cluster that ends with the test.
func start(t *testing.T, opts Options) *Cluster {
	t.Helper()
	opts.Binary = binary(t)
	if opts.DataDir == "" {
		opts.DataDir = t.TempDir()
	}
	if opts.Log == nil {
		opts.Log = t.Output()
	}
	began := time.Now()
	c, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	return c
}

// patience is how long a slow machine may take; a passing test never waits it out.
const patience = 2 * time.Minute

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s: %v", patience, err)
		case <-tick.C:
		}
	}
}

func create(t *testing.T, a *api, path string, object any) {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.do(t.Context(), http.MethodPost, path, "application/json", body, nil); err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

func configMap(name string, data map[string]string) object {
	return object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": name}, "data": data}
}

func allGone(t *testing.T, processes []Process) {
	t.Helper()
	for _, p := range processes {
		born, err := birth(p.PID)
		if err != nil || born != "" {
			t.Errorf("%s: process %d is still there (%q, %v)", p.Name, p.PID, born, err)
		}
	}
}

func TestStopAndStartAgainKeepsTheCluster(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Options{DataDir: dir, Fsync: true})
	create(t, first.admin, "/api/v1/namespaces/default/configmaps", configMap("kept", map[string]string{"a": "b"}))
	kubeconfig, err := os.ReadFile(first.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if owner, err := Owner(dir); owner != os.Getpid() || err != nil {
		t.Errorf("owner while running: %d, %v", owner, err)
	}
	if _, err := Start(t.Context(), Options{Binary: binary(t), DataDir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second owner: %v, want ErrInUse", err)
	}
	if err := CleanUp(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("clean up under a live owner: %v, want ErrInUse", err)
	}

	processes := first.Processes()
	if len(processes) != 2 {
		t.Errorf("processes %v, want etcd and kube-apiserver", processes)
	}
	began := time.Now()
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped after %s", time.Since(began).Round(time.Millisecond))
	allGone(t, processes)
	if left, _ := filepath.Glob(filepath.Join(dir, "run", "*")); len(left) > 0 {
		t.Errorf("records left: %q", left)
	}
	if owner, err := Owner(dir); owner != 0 || err != nil {
		t.Errorf("owner after stop: %d, %v", owner, err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Errorf("stop twice: %v", err)
	}

	second := start(t, Options{DataDir: dir, Fsync: true})
	if second.Ports() != first.Ports() {
		t.Errorf("ports %v, before %v", second.Ports(), first.Ports())
	}
	// Somebody who copied the kubeconfig of the first start can still use it.
	old := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(old, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := readAPI(old)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ Data map[string]string }
	if err := a.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/configmaps/kept", "", nil, &kept); err != nil {
		t.Fatal(err)
	}
	if kept.Data["a"] != "b" {
		t.Errorf("data %v", kept.Data)
	}
}

func TestTwoClustersSideBySide(t *testing.T) {
	one, two := start(t, Options{}), start(t, Options{})
	create(t, one.admin, "/api/v1/namespaces/default/configmaps", configMap("here", nil))
	err := two.admin.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/configmaps/here", "", nil, nil)
	var status *statusError
	if !errors.As(err, &status) || status.code != http.StatusNotFound {
		t.Errorf("the other cluster: %v, want 404", err)
	}
	// Neither believes the other's certificates.
	crossed, err := newAPI(two.Server(), one.ca.cert, pair{one.ca.cert, one.ca.key})
	if err != nil {
		t.Fatal(err)
	}
	if err := crossed.do(t.Context(), http.MethodGet, "/version", "", nil, nil); err == nil {
		t.Error("a client of one cluster accepts the other")
	}
}

func TestIdentities(t *testing.T) {
	c := start(t, Options{})
	create(t, c.admin, "/apis/rbac.authorization.k8s.io/v1/clusterroles", object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": object{"name": "reader"},
		"rules": []object{{"apiGroups": []string{""}, "resources": []string{"configmaps"}, "verbs": []string{"list"}}},
	})
	create(t, c.admin, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": "reader"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
		"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "readers"}},
	})
	reader, stranger := as(t, c, "alice", "readers"), as(t, c, "alice")

	eventually(t, func() error { // the authorizer learns of a binding by watch
		return reader.do(t.Context(), http.MethodGet, "/api/v1/configmaps", "", nil, nil)
	})
	for why, err := range map[string]error{
		"a reader reads Secrets":             reader.do(t.Context(), http.MethodGet, "/api/v1/secrets", "", nil, nil),
		"without the group, one reads":       stranger.do(t.Context(), http.MethodGet, "/api/v1/configmaps", "", nil, nil),
		"a reader becomes the administrator": reader.apply(t.Context(), "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/x", []byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[]}`)),
	} {
		var status *statusError
		if !errors.As(err, &status) || status.code != http.StatusForbidden {
			t.Errorf("%s: %v, want 403", why, err)
		}
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.ca.cert)
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer anonymous.CloseIdleConnections()
	response, err := anonymous.Get(c.Server() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("anonymous: %s, want 401", response.Status)
	}

	// etcd holds every Secret: the cluster's own clients must not get in.
	toEtcd, err := readAPI(mustIssue(t, c, "alice", "system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	toEtcd.server = fmt.Sprintf("https://%s:%d", loopback, c.Ports().Etcd)
	toEtcd.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	if err := toEtcd.do(t.Context(), http.MethodGet, "/version", "", nil, nil); err == nil {
		t.Error("etcd talks to a client of the API server")
	}
}

func mustIssue(t *testing.T, c *Cluster, user string, groups ...string) string {
	t.Helper()
	path, err := c.ClientKubeconfig(user, groups)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func as(t *testing.T, c *Cluster, user string, groups ...string) *api {
	t.Helper()
	a, err := readAPI(mustIssue(t, c, user, groups...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAProcessThatEndsIsStartedAgain(t *testing.T) {
	c := start(t, Options{})
	create(t, c.admin, "/api/v1/namespaces/default/configmaps", configMap("kept", nil))
	for _, victim := range c.Processes() {
		p, err := os.FindProcess(victim.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			for _, now := range c.Processes() {
				if now.Name == victim.Name && (now.PID == victim.PID || now.PID == 0) {
					return fmt.Errorf("%s has not been started again", now.Name)
				}
			}
			return c.admin.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/configmaps/kept", "", nil, nil)
		})
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	kube := binary(t)
	notKube := filepath.Join(t.TempDir(), "notkube")
	if err := os.WriteFile(notKube, []byte("#!/bin/sh\necho \"what is $1?\" >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	taken, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	badPKI := t.TempDir()
	if err := makeDirs(badPKI); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"ca.crt", "ca.key"} {
		if err := os.WriteFile(filepath.Join(badPKI, "pki", file), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		why  string
		opts Options
		want []string
	}{
		{"no binary", Options{Binary: filepath.Join(t.TempDir(), "none")}, []string{"none", "no such file"}},
		{"a directory", Options{Binary: t.TempDir()}, []string{"not a file"}},
		{"another program", Options{Binary: notKube}, []string{"exit status 3", "what is "}},
		{"port in use", Options{Binary: kube, Ports: Ports{API: portOf(taken)}}, []string{fmt.Sprintf("port %d for kube-apiserver is taken", portOf(taken))}},
		{"no time", Options{Binary: kube, ReadyTimeout: time.Millisecond}, []string{"etcd: not ready", "deadline exceeded"}}, // the limit is what is tested
		{"broken authority", Options{Binary: kube, DataDir: badPKI}, []string{"ca.crt", "remove it"}},
		{"too many nodes", Options{Binary: kube, Nodes: 101}, []string{"101 nodes", "1 to 100"}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			if tc.opts.DataDir == "" {
				tc.opts.DataDir = t.TempDir()
			}
			c, err := Start(t.Context(), tc.opts)
			if err == nil {
				c.Kill()
				t.Fatal("started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if owner, err := Owner(tc.opts.DataDir); owner != 0 || err != nil {
				t.Errorf("owner after a failed start: %d, %v", owner, err)
			}
			if left, err := readRecords(tc.opts.DataDir); len(left) > 0 || err != nil {
				t.Errorf("left running: %v, %v", left, err)
			}
		})
	}
}

func TestACancelledStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var c *Cluster
	_, err := Start(ctx, Options{Binary: binary(t), DataDir: dir, Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v (%v), want canceled", err, c)
	}
	if owner, err := Owner(dir); owner != 0 || err != nil {
		t.Errorf("owner: %d, %v", owner, err)
	}
	if left, err := readRecords(dir); len(left) > 0 || err != nil {
		t.Errorf("left running: %v, %v", left, err)
	}
}

func TestHousekeeping(t *testing.T) {
	c := start(t, Options{Housekeeping: true})
	create(t, c.admin, "/api/v1/namespaces", object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": "short"}})
	create(t, c.admin, "/api/v1/namespaces/short/configmaps", configMap("inside", nil))
	create(t, c.admin, "/api/v1/namespaces/default/configmaps", configMap("owner", nil))
	var owner struct{ Metadata struct{ UID string } }
	if err := c.admin.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/configmaps/owner", "", nil, &owner); err != nil {
		t.Fatal(err)
	}
	owned := configMap("owned", nil)
	owned["metadata"].(object)["ownerReferences"] = []object{{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.Metadata.UID}}
	create(t, c.admin, "/api/v1/namespaces/default/configmaps", owned)

	for _, path := range []string{"/api/v1/namespaces/short", "/api/v1/namespaces/default/configmaps/owner"} {
		if err := c.admin.do(t.Context(), http.MethodDelete, path, "", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/api/v1/namespaces/short", "/api/v1/namespaces/default/configmaps/owned"} {
		eventually(t, func() error {
			err := c.admin.do(t.Context(), http.MethodGet, path, "", nil, nil)
			var status *statusError
			if errors.As(err, &status) && status.code == http.StatusNotFound {
				return nil
			}
			return fmt.Errorf("%s is still there (%v)", path, err)
		})
	}
	// People are given the aggregated role "admin" in their namespaces; its rules are put together by a controller.
	eventually(t, func() error {
		var role struct{ Rules []any }
		if err := c.admin.do(t.Context(), http.MethodGet, "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin", "", nil, &role); err != nil {
			return err
		}
		if len(role.Rules) == 0 {
			return errors.New("ClusterRole admin has no rules")
		}
		return nil
	})
}

func TestARememberedPortThatIsTakenIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := makeDirs(dir); err != nil {
		t.Fatal(err)
	}
	taken, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := rememberPorts(dir, Ports{API: portOf(taken), Etcd: portOf(taken)}); err != nil {
		t.Fatal(err)
	}
	c := start(t, Options{DataDir: dir})
	if ports := c.Ports(); ports.API == portOf(taken) || ports.Etcd == portOf(taken) || ports.API == ports.Etcd {
		t.Errorf("ports %v, of which %d was taken", ports, portOf(taken))
	}
	now, err := rememberedPorts(dir)
	if err != nil || now != c.Ports() {
		t.Errorf("remembered %v, %v; in use %v", now, err, c.Ports())
	}
}

// What the kernel gives away by itself (from 32768 on) may be somebody's before it is used.
func TestChosenPortsAreNotThoseOfTheKernel(t *testing.T) {
	ports, err := choosePorts(Ports{}, Ports{})
	if err != nil || max(ports.API, ports.Etcd) >= 32768 || ports.API == ports.Etcd {
		t.Errorf("ports %v, %v", ports, err)
	}
}

// A port may be taken between its choice and its use. Here it always is, and the answer must be a new choice.
func TestALostPortIsChosenAgain(t *testing.T) {
	taken, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Binary: binary(t), DataDir: t.TempDir()}
	if err := opts.complete(); err != nil {
		t.Fatal(err)
	}
	if err := makeDirs(opts.DataDir); err != nil {
		t.Fatal(err)
	}
	free, err := choosePorts(Ports{}, Ports{})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{opts: opts, ports: Ports{API: free.API, Etcd: portOf(taken)}, spawner: newSpawner()}
	err = c.start(t.Context())
	var failed *ProcessError
	if !errors.As(err, &failed) || failed.Process != "etcd" {
		t.Errorf("start on a taken port: %v, want etcd's error", err)
	}
	t.Log(err)
	if !c.lostPort() {
		t.Error("not seen as a lost port")
	}
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	taken.Close()
	if c.lostPort() {
		t.Error("seen as a lost port although it is free")
	}
}
