package localkube

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func deployment(name, image string, replicas int) object {
	labels := object{"app": name}
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": name},
		"spec": object{
			"replicas": replicas,
			"selector": object{"matchLabels": labels},
			"template": object{
				"metadata": object{"labels": labels},
				"spec":     object{"containers": []object{{"name": "main", "image": image}}},
			},
		},
	}
}

// podStates lists, for the Pods of an app, "phase/ready/waiting reason".
func podStates(t *testing.T, a *api, app string) []string {
	t.Helper()
	var pods struct {
		Items []struct {
			Status struct {
				Phase             string
				ContainerStatuses []struct {
					Ready bool
					State struct {
						Waiting struct{ Reason string }
					}
				}
			}
		}
	}
	if err := a.do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/pods?labelSelector=app%3D"+app, "", nil, &pods); err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, pod := range pods.Items {
		state := pod.Status.Phase
		for _, c := range pod.Status.ContainerStatuses {
			state += fmt.Sprintf("/%v/%s", c.Ready, c.State.Waiting.Reason)
		}
		states = append(states, state)
	}
	return states
}

func podsAre(t *testing.T, a *api, app string, n int, want string) {
	t.Helper()
	eventually(t, func() error {
		states := podStates(t, a, app)
		if len(states) != n {
			return fmt.Errorf("%d pods of %s, want %d", len(states), app, n)
		}
		for _, state := range states {
			if state != want {
				return fmt.Errorf("pods of %s: %q, want all %q", app, states, want)
			}
		}
		return nil
	})
}

func TestWorkloads(t *testing.T) {
	dir := t.TempDir()
	c := start(t, Options{DataDir: dir, Workloads: true})
	const deployments = "/apis/apps/v1/namespaces/default/deployments"
	good, broken := "registry.test/guestbook:1.26.0", "registry.test/guestbook:1.27.0"

	began := time.Now()
	create(t, c.admin, deployments, deployment("good", good, 3))
	available := func(name string, n int) {
		t.Helper()
		eventually(t, func() error {
			var d struct {
				Status struct{ AvailableReplicas int }
			}
			if err := c.admin.do(t.Context(), http.MethodGet, deployments+"/"+name, "", nil, &d); err != nil {
				return err
			}
			if d.Status.AvailableReplicas != n {
				return fmt.Errorf("%s: %d available, want %d", name, d.Status.AvailableReplicas, n)
			}
			return nil
		})
	}
	available("good", 3)
	t.Logf("3 replicas available after %s", time.Since(began).Round(time.Millisecond))
	podsAre(t, c.admin, "good", 3, "Running/true/")

	for range 2 { // marking twice changes nothing
		if err := MarkImage(t.Context(), dir, broken, CrashLoopBackOff); err != nil {
			t.Fatal(err)
		}
	}
	if err := MarkImage(t.Context(), dir, "registry.test/gone:1", ImagePullBackOff); err != nil {
		t.Fatal(err)
	}
	// The policy learns of the list by watch: ask by dry run until a new Pod is marked.
	eventually(t, func() error {
		var answer struct {
			Metadata struct{ Annotations map[string]string }
		}
		pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"probe"},"spec":{"containers":[{"name":"main","image":"registry.test/gone:1"}]}}`
		err := c.admin.do(t.Context(), http.MethodPost, "/api/v1/namespaces/default/pods?dryRun=All", "application/json", []byte(pod), &answer)
		if err == nil && answer.Metadata.Annotations["demo.waybill.dev/run"] != ImagePullBackOff {
			err = fmt.Errorf("annotations %v", answer.Metadata.Annotations)
		}
		return err
	})
	create(t, c.admin, deployments, deployment("broken", broken+"@sha256:"+strings.Repeat("a", 64), 2))
	create(t, c.admin, deployments, deployment("unpulled", "registry.test/gone:1", 1))
	create(t, c.admin, deployments, deployment("longer", broken+"0", 1)) // 1.27.00 is another tag
	podsAre(t, c.admin, "broken", 2, "Running/false/CrashLoopBackOff")
	podsAre(t, c.admin, "unpulled", 1, "Pending/false/ImagePullBackOff")
	podsAre(t, c.admin, "longer", 1, "Running/true/")
	available("broken", 0)
	available("good", 3)

	// A Job completes or fails likewise.
	for name, image := range map[string]string{"job-good": good, "job-broken": broken} {
		create(t, c.admin, "/apis/batch/v1/namespaces/default/jobs", object{
			"apiVersion": "batch/v1", "kind": "Job", "metadata": object{"name": name},
			"spec": object{"backoffLimit": 0, "template": object{
				"metadata": object{"labels": object{"app": name}},
				"spec":     object{"restartPolicy": "Never", "containers": []object{{"name": "main", "image": image}}},
			}},
		})
	}
	podsAre(t, c.admin, "job-good", 1, "Succeeded/false/")
	podsAre(t, c.admin, "job-broken", 1, "Failed/false/")

	// Deleting what owns deletes what is owned, and a Namespace goes with its content.
	create(t, c.admin, "/api/v1/namespaces", object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": "short"}})
	create(t, c.admin, "/api/v1/namespaces/short/configmaps", configMap("inside", nil))
	for _, path := range []string{deployments + "/good", "/api/v1/namespaces/short"} {
		if err := c.admin.do(t.Context(), http.MethodDelete, path, "", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	podsAre(t, c.admin, "good", 0, "")
	eventually(t, func() error {
		err := c.admin.do(t.Context(), http.MethodGet, "/api/v1/namespaces/short", "", nil, nil)
		if err == nil {
			return fmt.Errorf("namespace is still there")
		}
		return nil
	})

	// kubectl is of the same version and speaks to the server.
	kubectl := exec.Command(c.Kubectl(), "--kubeconfig="+c.Kubeconfig(), "version")
	kubectl.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := kubectl.CombinedOutput()
	if err != nil || strings.Count(string(out), "v1.36.3") != 2 {
		t.Errorf("kubectl version: %v\n%s", err, out)
	}

	for _, p := range c.Processes() {
		t.Logf("%-24s %4d MB resident", p.Name, resident(t, p.PID)>>20)
	}
	processes := c.Processes()
	began = time.Now()
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped after %s", time.Since(began).Round(time.Millisecond))
	allGone(t, processes)

	// Pods still run after a restart, and new ones come up.
	c = start(t, Options{DataDir: dir, Workloads: true})
	podsAre(t, c.admin, "longer", 1, "Running/true/")
	create(t, c.admin, deployments, deployment("later", good, 1))
	available("later", 1)
}

// resident returns a process's resident memory in bytes; 0 where /proc does not tell.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestMarkImageRefuses(t *testing.T) {
	for _, tc := range []struct{ image, run, want string }{
		{"", CrashLoopBackOff, "not an image reference"},
		{"a\nb", CrashLoopBackOff, "not an image reference"},
		{"a:1", "Exploding", "want CrashLoopBackOff or ImagePullBackOff"},
		{"a:1", CrashLoopBackOff, "kubeconfig"}, // no cluster there
	} {
		err := MarkImage(t.Context(), t.TempDir(), tc.image, tc.run)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q, %q: %v, want %q", tc.image, tc.run, err, tc.want)
		}
	}
}
