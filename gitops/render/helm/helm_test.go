package helm_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/gitops/render/helm"
)

// TestMain makes the test program a worker when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helm.WorkerArgument {
		if err := helm.Serve(os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		probe()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// probe says what a confined process can still do.
func probe() {
	if err := helm.Confine(); err != nil {
		fmt.Println("confine:", err)
		return
	}
	if _, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		fmt.Println("it can listen")
	}
	if _, err := net.Dial("unix", "/nowhere"); !errors.Is(err, syscall.EPERM) {
		fmt.Println("it can make sockets:", err)
	}
	if p, err := os.StartProcess("/proc/self/exe", []string{"x", "probe"}, &os.ProcAttr{}); err == nil {
		_ = p.Kill()
		fmt.Println("it can start programs")
	}
	if f, err := os.CreateTemp("/tmp", "waybill-probe"); err == nil {
		if _, err := f.WriteString("x"); err == nil {
			fmt.Println("it can write files")
		}
		_ = os.Remove(f.Name())
	}
	if len(os.Environ()) > 0 {
		fmt.Println("it has an environment")
	}
	fmt.Println("done")
}

func TestWorkersAreConfined(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("limits exist on Linux")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, "probe").CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func pool(t *testing.T) *helm.Pool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := helm.NewPool(self, helm.WorkerArgument)
	t.Cleanup(p.Close)
	return p
}

func chart(files map[string]string) *helm.Request {
	r := &helm.Request{ReleaseName: "web", Namespace: "shop", Files: map[string][]byte{
		"Chart.yaml":  []byte("apiVersion: v2\nname: shop\nversion: 1.2.3\n"),
		"values.yaml": []byte("replicas: 1\nname: chart\n"),
	}}
	for name, content := range files {
		r.Files[name] = []byte(content)
	}
	return r
}

func TestRender(t *testing.T) {
	r := chart(map[string]string{
		"templates/_helpers.tpl": `{{ define "full" }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}`,
		"templates/a.yaml":       "n: {{ include \"full\" . }}\nr: {{ .Values.replicas }}\nv: {{ .Values.name }} {{ .Values.extra }} {{ .Values.s | quote }}\n",
		"templates/empty.yaml":   "{{ if false }}x{{ end }}\n",
		"templates/NOTES.txt":    "hello",
		"templates/look.yaml":    `l: {{ lookup "v1" "Secret" "kube-system" "x" | toJson }} {{ getHostByName "example.com" | quote }} {{ .Capabilities.KubeVersion.Minor }}`,
		"crds/c.yaml":            "crd: 1\n",
	})
	r.ValueFiles = []helm.ValueFile{{Name: "prod.yaml", Content: []byte("name: file\nextra: file\n")}}
	r.Values, r.ValuesObject = "extra: text\n", []byte(`{"replicas": 3}`)
	r.Parameters = []helm.Parameter{{Name: "s", Value: "7", ForceString: true}, {Name: "extra", Value: "a,b=c"}}
	r.KubeVersion = "v1.36.3"
	want := []helm.Manifest{
		{Name: "crds/c.yaml", Content: "crd: 1\n"},
		{Name: "templates/a.yaml", Content: "n: web-shop\nr: 3\nv: file a,b=c \"7\"\n"},
		{Name: "templates/look.yaml", Content: `l: {} "" 36`},
	}
	p := pool(t)
	for range 3 { // one worker does them all
		got, err := p.Render(t.Context(), r, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestChartErrorsAreNamed(t *testing.T) {
	p := pool(t)
	for name, c := range map[string]struct {
		change func(*helm.Request)
		want   string
	}{
		"required value": {func(r *helm.Request) {
			r.Files["templates/a.yaml"] = []byte(`{{ required "set image" .Values.image }}`)
		}, "set image"},
		"template syntax": {func(r *helm.Request) { r.Files["templates/a.yaml"] = []byte(`{{ if }}`) }, "templates/a.yaml"},
		"missing dependency": {func(r *helm.Request) {
			r.Files["Chart.yaml"] = []byte("apiVersion: v2\nname: s\nversion: 1.0.0\ndependencies: [{name: redis, version: 1.0.0, repository: 'https://example.com'}]\n")
		}, `dependency "redis" is not in the charts folder`},
		"library chart": {func(r *helm.Request) {
			r.Files["Chart.yaml"] = []byte("apiVersion: v2\nname: s\nversion: 1.0.0\ntype: library\n")
		}, "library"},
		"another Kubernetes": {func(r *helm.Request) {
			r.Files["Chart.yaml"] = []byte("apiVersion: v2\nname: s\nversion: 1.0.0\nkubeVersion: '>=1.30.0-0'\n")
			r.KubeVersion = "v1.29.1"
		}, "helm.kubeVersion is v1.29.1"},
		"bad values": {func(r *helm.Request) { r.Values = "a: [" }, "helm.values"},
		"no chart":   {func(r *helm.Request) { delete(r.Files, "Chart.yaml") }, "Chart.yaml"},
		"schema": {func(r *helm.Request) {
			r.Files["values.schema.json"] = []byte(`{"properties":{"replicas":{"minimum":5}}}`)
		}, "replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			r := chart(nil)
			c.change(r)
			_, err := p.Render(t.Context(), r, time.Minute)
			if !errors.Is(err, helm.ErrChart) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What --set and Argo CD make of the values of parameters.
func TestParameters(t *testing.T) {
	p := pool(t)
	for value, want := range map[string]string{
		"a,b": `"a,b"`, "{a,b}": `["a","b"]`, "{}": `[""]`, `a\,b`: `"a,b"`, `a\b`: `"a\\b"`, "null": "null", "7": "7", "": `""`, "a=b": `"a=b"`, "true": "true", "1.5": `"1.5"`,
	} {
		r := chart(map[string]string{"templates/a.yaml": "v: {{ .Values.v | toJson }}\n"})
		r.Parameters = []helm.Parameter{{Name: "v", Value: value}}
		got, err := p.Render(t.Context(), r, time.Minute)
		if err != nil || len(got) != 1 || got[0].Content != "v: "+want+"\n" {
			t.Errorf("%q: %v %v, want %s", value, got, err, want)
		}
	}
}

// A hostile chart harms neither the server nor the next chart.
func TestHostileCharts(t *testing.T) {
	p := pool(t)
	for name, c := range map[string]struct {
		template string
		want     error
	}{
		"all the memory there is": {`{{ $x := "x" }}{{ range until 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ len $x }}`, helm.ErrWorker},
		"a repeat of a repeat":    {`{{ repeat 999999999 (repeat 1000 "x") }}`, helm.ErrWorker},
		"no end":                  {`{{ range until 1000000 }}{{ range until 100000 }}{{ end }}{{ end }}`, helm.ErrTimeout},
		"endless recursion":       {`{{ define "r" }}{{ include "r" . }}{{ end }}{{ include "r" . }}`, helm.ErrChart},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Render(t.Context(), chart(map[string]string{"templates/a.yaml": c.template}), 5*time.Second)
			// Which limit is met first depends on the machine, and on the race detector.
			if !errors.Is(err, c.want) && !errors.Is(err, helm.ErrTimeout) && !errors.Is(err, helm.ErrWorker) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if _, err := p.Render(t.Context(), chart(map[string]string{"templates/a.yaml": "a: 1"}), time.Minute); err != nil {
				t.Errorf("the next chart: %v", err)
			}
		})
	}
}
