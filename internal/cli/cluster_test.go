package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestClusterTranscripts prints what the cluster commands print; that accounts are
// made is tested with a cluster.
func TestClusterTranscripts(t *testing.T) {
	west := model.Cluster{Name: "west", Ready: true, Reason: "Reachable", Message: "the API server answers", Version: "v1.36.3", Server: "https://west.example.com:6443",
		CheckedAt: at(2), Applications: 3, LastHandledRequest: "r1"}
	down := west
	down.Ready, down.Message = false, "the API server does not answer as it should: connection refused. What runs there is Unknown until it does"
	home := model.Cluster{Name: "in-cluster", BuiltIn: true, Ready: true, Message: "the cluster Waybill runs in", Applications: 7}
	missing := problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: `no cluster "west"`})
	const clusters = " /api/v1/clusters"
	asked := accepted(model.RefreshResult{Request: "r1"})
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{"cluster-list", "cluster list", map[string]answer{"GET" + clusters: ok(model.ClusterList{Items: []model.Cluster{home, down}})}},
		{"cluster-list-wide", "cluster list -o wide", map[string]answer{"GET" + clusters: ok(model.ClusterList{Items: []model.Cluster{home, west}})}},
		{"cluster-test", "cluster test west", map[string]answer{"POST" + clusters + "/west/test": asked, "GET" + clusters + "/west": ok(west)}},
		{"cluster-test-down", "cluster test west", map[string]answer{"POST" + clusters + "/west/test": asked, "GET" + clusters + "/west": ok(down)}},
		{"cluster-rotate", "cluster rotate west --as-it-is --kubeconfig KUBECONFIG", map[string]answer{"POST" + clusters + "/west/rotate": asked, "GET" + clusters + "/west": ok(west)}},
		{"cluster-add-taken", "cluster add west --as-it-is --kubeconfig KUBECONFIG", map[string]answer{"GET" + clusters + "/west": ok(west)}},
		{"cluster-add-program", "cluster add west --kube-context program --kubeconfig KUBECONFIG", map[string]answer{"GET" + clusters + "/west": missing}},
		{"cluster-add-role", "cluster add west --role god --kubeconfig KUBECONFIG", nil},
		{"cluster-remove", "cluster remove west", map[string]answer{"DELETE" + clusters + "/west": {status: http.StatusNoContent}}},
		{"cluster-remove-used", "cluster remove west", map[string]answer{"DELETE" + clusters + "/west": problem(model.Problem{Status: http.StatusConflict, Code: model.Conflict,
			Detail: `Application guestbook/away and 2 more deploys to cluster "west"`, Hint: "send them elsewhere first, or use --force"})}},
		{"cluster-help", "cluster --help", nil},
		{"cluster-add-help", "cluster add --help", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, c.answers).URL)
			file := filepath.Join(s.home, "kubeconfig")
			config := "current-context: c\ncontexts: [{name: c, context: {cluster: a, user: b}}, {name: program, context: {cluster: a, user: p}}]\n" +
				"clusters: [{name: a, cluster: {server: 'https://west.example.com:6443'}}]\nusers: [{name: b, user: {token: T}}, {name: p, user: {exec: {command: aws}}}]\n"
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.run(strings.Fields(strings.ReplaceAll(c.args, "KUBECONFIG", file))...)
			golden(t, c.name, strings.ReplaceAll(r.String(), file, "KUBECONFIG"))
		})
	}
}
