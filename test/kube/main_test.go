package main

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestChoose(t *testing.T) {
	marks := func(name string) map[string]program {
		known := map[string]program{}
		for _, n := range names() {
			known[n] = func() int { return 1 }
		}
		if name != "" {
			known[name] = func() int { return 42 }
		}
		return known
	}
	for _, tc := range []struct {
		why  string
		args []string
		want string   // program; "" for none
		rest []string // what it gets as os.Args
	}{
		{"a symlink names the program", []string{"/opt/bin/kube/etcd", "--name=a"}, "etcd", []string{"/opt/bin/kube/etcd", "--name=a"}},
		{"else the first argument does", []string{"bin/waybill-kube", "kubectl", "get", "pods"}, "kubectl", []string{"kubectl", "get", "pods"}},
		{"the name wins over the argument", []string{"kubectl", "etcd"}, "kubectl", []string{"kubectl", "etcd"}},
		{"an unknown argument is none", []string{"waybill-kube", "kube-proxy"}, "", []string{"waybill-kube", "kube-proxy"}},
		{"no argument is none", []string{"waybill-kube"}, "", []string{"waybill-kube"}},
		{"no arguments at all", nil, "", nil},
	} {
		t.Run(tc.why, func(t *testing.T) {
			run, rest := choose(marks(tc.want), tc.args)
			if (run != nil) != (tc.want != "") {
				t.Fatalf("program found: %v, want %q", run != nil, tc.want)
			}
			if run != nil && run() != 42 {
				t.Errorf("another program than %q", tc.want)
			}
			if !slices.Equal(rest, tc.rest) {
				t.Errorf("arguments %q, want %q", rest, tc.rest)
			}
		})
	}
	for _, name := range names() {
		if programs()[name] == nil {
			t.Errorf("%s is listed, but is no program", name)
		}
	}
}

func TestStages(t *testing.T) {
	stream, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	selectors := map[string]string{}
	for doc := range strings.SplitSeq(string(stream), "\n---\n") {
		var stage struct {
			Kind     string                `json:"kind"`
			Metadata struct{ Name string } `json:"metadata"`
			Spec     struct {
				Selector any            `json:"selector"`
				Next     map[string]any `json:"next"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(doc), &stage); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		if stage.Kind != "Stage" || len(stage.Spec.Next) == 0 {
			t.Errorf("not a stage that does something:\n%s", doc)
		}
		selector, err := yaml.Marshal(stage.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		selectors[stage.Metadata.Name] = string(selector)
	}
	for _, name := range []string{"node-initialize", "node-heartbeat-with-lease", "pod-ready", "pod-complete", "pod-delete", "pod-broken"} {
		if selectors[name] == "" {
			t.Errorf("no stage %q, or without selector", name)
		}
	}
	// Both may match a pending Pod; only the annotation tells them apart.
	if !strings.Contains(selectors["pod-ready"], runAnnotation) || !strings.Contains(selectors["pod-broken"], runAnnotation) {
		t.Errorf("pod-ready and pod-broken do not exclude each other:\n%s\n%s", selectors["pod-ready"], selectors["pod-broken"])
	}
}
