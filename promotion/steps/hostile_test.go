package steps_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/steps"
)

const cloneMain = `
- {uses: git-clone, config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./src}]}}
`

// bomb is a YAML file whose aliases multiply.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	return b.String()
}

// archive returns a compressed archive of one entry.
func archive(t *testing.T, h tar.Header, size int64) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	h.Size = size
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, 1<<20)
	for size > 0 {
		n, err := w.Write(zero[:min(size, int64(len(zero)))])
		if err != nil {
			t.Fatal(err)
		}
		size -= int64(n)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestHostileInput: what leads out of the tree, multiplies or is too large is
// refused with a reason, and the server stays well.
func TestHostileInput(t *testing.T) {
	b := newBench(t, map[string]string{"a.yaml": "a: 1\n", "bomb.yaml": bomb(), "deep.json": strings.Repeat("[", 9000) + strings.Repeat("]", 9000)})
	b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "main", Message: "hostile", Files: map[string]gitserver.File{
		"link":        {Content: "../../../etc/passwd", Mode: "120000"},
		"links.tgz":   {Content: archive(t, tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, 0)},
		"outside.tgz": {Content: archive(t, tar.Header{Name: "../../x", Typeflag: tar.TypeReg}, 1)},
		"bomb.tgz":    {Content: archive(t, tar.Header{Name: "x", Typeflag: tar.TypeReg}, 500<<20)},
	}})
	for name, c := range map[string]struct{ step, reason string }{
		"read outside":            {`{uses: yaml-parse, config: {path: ../../etc/passwd, outputs: [{name: a, fromExpression: a}]}}`, "InvalidConfig"},
		"read an absolute path":   {`{uses: yaml-parse, config: {path: /etc/passwd, outputs: [{name: a, fromExpression: a}]}}`, "InvalidConfig"},
		"write outside":           {`{uses: file-write, config: {path: ./src/../../x, contents: x}}`, "InvalidConfig"},
		"read through a link":     {`{uses: yaml-parse, config: {path: ./src/link, outputs: [{name: a, fromExpression: a}]}}`, "UnsafePath"},
		"write through a link":    {`{uses: file-write, config: {path: ./src/link, contents: x}}`, "UnsafePath"},
		"write below a link":      {`{uses: file-write, config: {path: ./src/link/x, contents: x}}`, "UnsafePath"},
		"pack a link":             {`{uses: tar, config: {inPath: ./src, outPath: ./x.tar}}`, "UnsafePath"},
		"unpack links":            {`{uses: untar, config: {inPath: ./src/links.tgz, outPath: ./x}}`, "UnsafePath"},
		"unpack outside":          {`{uses: untar, config: {inPath: ./src/outside.tgz, outPath: ./x}}`, "UnsafePath"},
		"unpack 500 MiB":          {`{uses: untar, config: {inPath: ./src/bomb.tgz, outPath: ./x}}`, "FileTooLarge"},
		"parse a YAML bomb":       {`{uses: yaml-parse, retry: {errorThreshold: 1}, config: {path: ./src/bomb.yaml, outputs: [{name: a, fromExpression: a11}]}}`, "ErrorThreshold"},
		"merge a YAML bomb":       {`{uses: yaml-merge, config: {inFiles: [./src/bomb.yaml], outFile: ./x}}`, "FileTooLarge"},
		"nest JSON":               {`{uses: json-update, retry: {errorThreshold: 1}, config: {path: ./src/deep.json, updates: [{key: "0.0", value: 1}]}}`, "ErrorThreshold"},
		"an expression that ends": {`{uses: file-write, config: {path: ./x, contents: "${{ repeat('x', 100000000) }}"}}`, "InvalidConfig"},
	} {
		t.Run(name, func(t *testing.T) {
			p := promote(t, stageWith(readSteps(t, []byte(cloneMain+"- "+c.step))))
			out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
			if out.Failed == nil || out.Failed.Reason != c.reason || out.Panic != "" {
				t.Errorf("outcome %+v, step %+v", out, p.Status.Steps[1])
			}
		})
	}
}

// TestRequestsStayOutside: steps reach no address inside, whatever it is called.
func TestRequestsStayOutside(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody came in") }))
	defer inside.Close()
	redirects := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusFound))
	defer redirects.Close()
	b := newBench(t, map[string]string{"a.yaml": "a: 1\n"})
	transport, err := outbound.New(outbound.Policy{RefusePrivate: true, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	b.engine.Steps = steps.Builtin(steps.Dependencies{Author: git.Identity{Name: "W", Email: "w@example.com"}, Transport: transport})
	for _, url := range []string{
		inside.URL, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), redirects.URL,
		"http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", "http://10.0.0.1/", "http://192.168.1.1/", "http://[::1]:6443/", "http://0.0.0.0/",
		"http://user:password@example.com/",
	} {
		for _, s := range []string{"{uses: http, config: {url: %q}}", "{uses: http-download, config: {url: %q, outPath: ./src/x}}"} {
			p := promote(t, stageWith(readSteps(t, []byte(cloneMain+"- "+fmt.Sprintf(s, url)))))
			out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
			if out.Failed == nil || out.Failed.Reason != "DestinationRefused" {
				t.Errorf("%s %s: %+v", s, url, out)
			}
			if strings.Contains(p.Status.Steps[1].Message, "password") {
				t.Errorf("%s: the message says %q", url, p.Status.Steps[1].Message)
			}
		}
	}
}
