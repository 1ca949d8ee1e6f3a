package main

import (
	"bytes"
	_ "embed"
	"fmt"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/yaml"
)

// podBroken gives a Pod the status of one whose containers crash, or whose image cannot be pulled, when its
// annotation runAnnotation says so.
//
//go:embed stages/pod-broken.yaml
var podBroken []byte

// runAnnotation says how a Pod shall fare: CrashLoopBackOff or ImagePullBackOff. A Pod without it runs.
const runAnnotation = `.metadata.annotations["demo.waybill.dev/run"]`

// stages returns, as one YAML stream, what kwok does with Nodes and Pods in this cluster: kwok's own stages
// node/fast, node/heartbeat-with-lease and pod/fast, and pod-broken.
func stages() ([]byte, error) {
	ready, err := ignoreBroken(podfast.DefaultPodReady)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{
		[]byte(nodefast.DefaultNodeInit),
		[]byte(nodeheartbeat.DefaultNodeHeartbeatWithLease),
		ready,
		[]byte(podfast.DefaultPodComplete),
		[]byte(podfast.DefaultPodDelete),
		podBroken,
	}, []byte("\n---\n")), nil
}

// ignoreBroken adds to a stage's selector that the Pod has no runAnnotation. Without it pod-ready would mark a
// Pod that waits in ImagePullBackOff Ready, since its phase stays Pending.
func ignoreBroken(stage string) ([]byte, error) {
	var doc map[string]any
	if err := yaml.UnmarshalStrict([]byte(stage), &doc); err != nil {
		return nil, fmt.Errorf("kwok stage: %w", err)
	}
	spec, _ := doc["spec"].(map[string]any)
	selector, _ := spec["selector"].(map[string]any)
	expressions, ok := selector["matchExpressions"].([]any)
	if !ok {
		return nil, fmt.Errorf("kwok stage: no spec.selector.matchExpressions to add to")
	}
	selector["matchExpressions"] = append(expressions, map[string]any{"key": runAnnotation, "operator": "DoesNotExist"})
	return yaml.Marshal(doc)
}
