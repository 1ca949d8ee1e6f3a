package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// annotationLastApplied is kubectl's copy of a manifest; exported manifests bring it along.
const annotationLastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Normalize changes obj in place where a manifest may say one thing in two ways and server-side apply tells them
// apart:
//
//   - ports of Services and containers get protocol TCP when they name none. The protocol is part of the key by
//     which the server merges ports, and a key with a default is where its bookkeeping differs from the manifest.
//   - the last-applied annotation of kubectl is dropped: it describes another object.
//
// What only a server writes (status, managedFields) is dropped by whoever applies the object.
func Normalize(obj *unstructured.Unstructured) {
	if annotations, ok := nested(obj.Object, "metadata", "annotations").(map[string]any); ok {
		delete(annotations, annotationLastApplied)
		if len(annotations) == 0 {
			delete(obj.Object["metadata"].(map[string]any), "annotations") //nolint:forcetypeassert // nested went through it
		}
	}
	gvk := obj.GroupVersionKind()
	switch gvk.Group {
	case "":
		switch gvk.Kind {
		case "Service":
			defaultProtocol(nested(obj.Object, "spec", "ports"))
		case "Pod":
			podPorts(nested(obj.Object, "spec"))
		case "PodTemplate":
			podPorts(nested(obj.Object, "template", "spec"))
		case "ReplicationController":
			podPorts(nested(obj.Object, "spec", "template", "spec"))
		}
	case "apps":
		podPorts(nested(obj.Object, "spec", "template", "spec"))
	case "batch":
		podPorts(nested(obj.Object, "spec", "template", "spec"))
		podPorts(nested(obj.Object, "spec", "jobTemplate", "spec", "template", "spec"))
	}
}

// nested returns the value at fields, or nil.
func nested(value any, fields ...string) any {
	for _, field := range fields {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[field]
	}
	return value
}

func podPorts(podSpec any) {
	for _, field := range []string{"containers", "initContainers"} {
		containers, _ := nested(podSpec, field).([]any)
		for _, container := range containers {
			defaultProtocol(nested(container, "ports"))
		}
	}
}

func defaultProtocol(ports any) {
	list, _ := ports.([]any)
	for _, port := range list {
		fields, ok := port.(map[string]any)
		if !ok {
			continue
		}
		if protocol, there := fields["protocol"]; !there || protocol == nil || protocol == "" {
			fields["protocol"] = "TCP"
		}
	}
}
