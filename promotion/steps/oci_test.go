package steps_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// runSteps runs steps to their end.
func (b *bench) runSteps(t *testing.T, yaml string) (*v1alpha1.Promotion, engine.Outcome) {
	t.Helper()
	p := promote(t, stageWith(readSteps(t, []byte(yaml))))
	return p, b.runToEnd(p)
}

// failure is the word for why a run did not get on, and the error.
func failure(out engine.Outcome) (string, error) {
	var again *step.ReasonedError
	switch {
	case out.Failed != nil:
		return out.Failed.Reason, out.Failed
	case errors.As(out.Err, &again):
		return again.Reason, out.Err
	}
	return "", out.Err
}

func TestOCIPush(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	source := b.registry.Push("guestbook", "2.0.0", demoregistry.ImageOptions{Platforms: []string{"linux/amd64", "linux/arm64"}})
	push := `- {uses: oci-push, as: push, config: {srcRef: "registry.example.com/guestbook:2.0.0", destRef: "registry.example.com/released/guestbook:prod"}}`
	p, out := b.runSteps(t, push)
	if !out.Done || !strings.Contains(canonical(p.Status.Steps[0].Output), `"image":"registry.example.com/released/guestbook:prod@`+source+`"`) {
		t.Fatalf("%+v %s", out, states(p))
	}
	if got, err := b.artifacts().Digest(t.Context(), "guestbook", "registry.example.com/released/guestbook:prod"); err != nil || got != source {
		t.Errorf("%s, %v; want %s", got, err, source)
	}

	t.Run("again, it sends nothing", func(t *testing.T) {
		b.registry.ResetRequests()
		if _, out := b.runSteps(t, push); !out.Done {
			t.Fatalf("%+v", out)
		}
		if n := b.registry.Requests(); n[demoregistry.KindPush] > 0 {
			t.Errorf("requests: %v", n)
		}
	})

	t.Run("what was found first is copied, wherever the tag leads by then", func(t *testing.T) {
		p := promote(t, stageWith(readSteps(t, []byte(strings.Replace(push, ":prod", ":later", 1)))))
		if out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil }); out.Waiting == "" && !out.Done {
			t.Fatalf("%+v", out)
		}
		b.registry.Push("guestbook", "2.0.0", demoregistry.ImageOptions{Salt: "moved"})
		lookNow(p)
		if out := b.runToEnd(p); !out.Done {
			t.Fatalf("%+v", out)
		}
		if got, err := b.artifacts().Digest(t.Context(), "guestbook", "registry.example.com/released/guestbook:later"); err != nil || got != source {
			t.Errorf("%s, %v; want %s", got, err, source)
		}
	})

	t.Run("to another registry, with an account of its own", func(t *testing.T) {
		other := registrytest.New(t)
		_, out := b.runSteps(t, `- {uses: oci-push, config: {srcRef: "registry.example.com/guestbook@`+source+`", destRef: "`+other.Name("app")+`:1"}}`)
		if reason, err := failure(out); reason != "AuthenticationFailed" || strings.Contains(err.Error(), "canary") {
			t.Errorf("the account of the source was used: %v", err)
		}
	})
}

func TestOCIDownloadTakesTheSameAgain(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	first, err := tarball.Write([]tarball.File{{Name: "a", Content: []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	want := b.pushFiles("rules", "latest", first)
	run := `
- {uses: git-clone, config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./src}]}}
- {uses: oci-download, as: rules, config: {imageRef: "registry.example.com/rules:latest", outPath: ./rules.tgz, mediaType: ` + layer + `}}
- {uses: untar, config: {inPath: ./rules.tgz, outPath: ./src/rules}}
`
	p, out := b.runSteps(t, run)
	if !out.Done || !strings.Contains(canonical(p.Status.Steps[1].Output), want) {
		t.Fatalf("%+v %s", out, states(p))
	}
	b.pushFiles("rules", "latest", []byte("something else"))
	again := reread(t, p)
	for i := range again.Status.Steps {
		again.Status.Steps[i].State = v1alpha1.StepPending
	}
	if out := b.runToEnd(again); !out.Done || !strings.Contains(canonical(again.Status.Steps[1].Output), want) {
		t.Errorf("%+v %s", out, states(again))
	}
}

func TestOCIRefuses(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	b.pushFiles("large", "1", make([]byte, 17<<20))
	bomb, err := tarball.Write([]tarball.File{{Name: "zeros", Content: make([]byte, 65<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	b.pushFiles("bomb", "1", bomb)
	escape, err := tarball.Write([]tarball.File{{Name: "../../etc/passwd", Content: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	b.pushFiles("escape", "1", escape)
	download := func(ref, more string) string {
		return `- {uses: oci-download, config: {imageRef: "` + ref + `", outPath: ./file` + more + `}}`
	}
	push := func(src, dest string) string {
		return `- {uses: oci-push, config: {srcRef: "` + src + `", destRef: "` + dest + `"}}`
	}
	const here = "registry.example.com/guestbook"
	for why, c := range map[string]struct{ run, reason string }{
		"no reference":            {download("https://registry.example.com/x", ""), "InvalidConfig"},
		"no such tag":             {download(here+":9", ""), "NotFound"},
		"an index":                {download(here+":1.27.0", ""), "UnsupportedImage"},
		"no such layer":           {download("registry.example.com/policies:1.4", `, mediaType: text/plain`), "UnsupportedImage"},
		"too large":               {download("registry.example.com/large:1", ""), "UnsupportedImage"},
		"out of the workspace":    {strings.Replace(download("registry.example.com/policies:1.4", ""), "./file", "../file", 1), "InvalidConfig"},
		"a bomb":                  {download("registry.example.com/bomb:1", "") + "\n- {uses: untar, config: {inPath: ./file, outPath: ./src}}", "FileTooLarge"},
		"names that lead out":     {download("registry.example.com/escape:1", "") + "\n- {uses: untar, config: {inPath: ./file, outPath: ./src}}", "UnsafePath"},
		"nothing listens":         {download("127.0.0.1:1/app:1", ""), "RegistryUnreachable"},
		"push from nowhere":       {push(here+":9", here+":10"), "NotFound"},
		"push to a digest":        {push(here+":1.27.0", here+"@"+charttest.Digest(nil)), "InvalidConfig"},
		"push to no reference":    {push(here+":1.27.0", "not a reference"), "InvalidConfig"},
		"push a digest not there": {push(here+"@"+charttest.Digest(nil), here+":10"), "NotFound"},
	} {
		t.Run(why, func(t *testing.T) {
			p, out := b.runSteps(t, "- {uses: git-clone, config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./src}]}}\n"+c.run)
			if reason, err := failure(out); reason != c.reason || err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %v; %s", reason, err, states(p))
			}
		})
	}
}
