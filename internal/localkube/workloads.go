package localkube

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// The policy that marks Pods of chosen images, and its binding. kwok's stage pod-broken (test/kube) acts on the mark.
var (
	//go:embed manifests/demo-run-policy.yaml
	demoRunPolicy []byte
	//go:embed manifests/demo-run-binding.yaml
	demoRunBinding []byte
)

// Runs that a Pod of a marked image can have; see MarkImage.
const (
	CrashLoopBackOff = "CrashLoopBackOff"
	ImagePullBackOff = "ImagePullBackOff"
)

const (
	admissionPath  = "/apis/admissionregistration.k8s.io/v1/"
	demoImagesPath = "/api/v1/namespaces/default/configmaps"
	demoImagesName = "demo-images"
)

// applyDemoPolicy makes the API server mark Pods as MarkImage says.
func applyDemoPolicy(ctx context.Context, a *api) error {
	if err := a.apply(ctx, admissionPath+"mutatingadmissionpolicies/demo-run.waybill.dev", demoRunPolicy); err != nil {
		return fmt.Errorf("apply policy for broken images: %w", err)
	}
	if err := a.apply(ctx, admissionPath+"mutatingadmissionpolicybindings/demo-run.waybill.dev", demoRunBinding); err != nil {
		return fmt.Errorf("apply policy for broken images: %w", err)
	}
	return nil
}

// applyNode registers a Node for kwok to play. One that exists keeps its status.
func applyNode(ctx context.Context, a *api, name string) error {
	room := map[string]string{"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000"}
	node, err := json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": map[string]any{
			"name": name,
			"labels": map[string]string{
				"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "type": "kwok",
			},
			"annotations": map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		"status": map[string]any{"allocatable": room, "capacity": room},
	})
	if err != nil {
		return err
	}
	err = a.do(ctx, http.MethodPost, "/api/v1/nodes", "application/json", node, nil)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("register node %q: %w", name, err)
	}
	return nil
}

func nodeNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("local-%d", i+1)
	}
	return names
}

// nodesReady returns nil when every named Node is Ready and takes Pods, or an error that says which is not.
func nodesReady(ctx context.Context, a *api, names []string) error {
	for _, name := range names {
		var node struct {
			Spec struct {
				Taints []struct{ Key string }
			}
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
		if err := a.do(ctx, http.MethodGet, "/api/v1/nodes/"+name, "", nil, &node); err != nil {
			return fmt.Errorf("node %q: %w", name, err)
		}
		isReady := false
		for _, condition := range node.Status.Conditions {
			isReady = isReady || condition.Type == "Ready" && condition.Status == "True"
		}
		if !isReady {
			return fmt.Errorf("node %q is not Ready", name)
		}
		for _, taint := range node.Spec.Taints {
			if strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
				return fmt.Errorf("node %q has the taint %s", name, taint.Key)
			}
		}
	}
	return nil
}

// MarkImage makes every Pod created from now on, one of whose containers has the given image, fare as run says:
// CrashLoopBackOff or ImagePullBackOff. image is a reference as manifests have it; a digest after it does not matter.
// The cluster of dataDir must be running, with Workloads. The API server learns of the mark by watch, within
// milliseconds; existing Pods keep running. Marking twice changes nothing.
func MarkImage(ctx context.Context, dataDir, image, run string) error {
	if image == "" || strings.ContainsAny(image, " \t\r\n") {
		return fmt.Errorf("mark image %q: not an image reference", image)
	}
	if run != CrashLoopBackOff && run != ImagePullBackOff {
		return fmt.Errorf("mark image %q: run %q: want %s or %s", image, run, CrashLoopBackOff, ImagePullBackOff)
	}
	a, err := readAPI(filepath.Join(dataDir, "kubeconfig"))
	if err != nil {
		return fmt.Errorf("mark image %q: %w", image, err)
	}
	defer a.close()
	// Two at a time write from the same state: the second is refused and looks again.
	for range 5 {
		err = markOnce(ctx, a, image, run)
		var status *statusError
		if !errors.As(err, &status) || status.code != http.StatusConflict {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("mark image %q: %w", image, err)
	}
	return nil
}

func markOnce(ctx context.Context, a *api, image, run string) error {
	var list struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]any    `json:"metadata"`
		Data       map[string]string `json:"data"`
	}
	method, path := http.MethodPut, demoImagesPath+"/"+demoImagesName
	err := a.do(ctx, http.MethodGet, path, "", nil, &list)
	var status *statusError
	switch {
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		method, path = http.MethodPost, demoImagesPath
		list.APIVersion, list.Kind = "v1", "ConfigMap"
		list.Metadata = map[string]any{"name": demoImagesName}
	case err != nil:
		return err
	}
	lines := strings.Fields(list.Data[run])
	if slices.Contains(lines, image) {
		return nil
	}
	if list.Data == nil {
		list.Data = map[string]string{}
	}
	list.Data[run] = strings.Join(append(lines, image), "\n") + "\n"
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return a.do(ctx, method, path, "application/json", body, nil)
}
