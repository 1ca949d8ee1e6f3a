package rest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// dashboard serves the built pages from memory. Every address that is no file
// is a page of the application, which finds its own way.
type dashboard struct {
	files map[string]file
	// notBuilt is shown when there are no pages.
	notBuilt []byte
}

// file is held once: nearly everybody takes it zipped, who does not has it unzipped.
type file struct {
	contentType string
	plain       []byte // nil when there is zipped
	zipped      []byte // nil when it would not be smaller
}

// unzipped returns the file for those who do not take gzip.
func (f file) unzipped() ([]byte, error) {
	if f.zipped == nil {
		return f.plain, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(f.zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxDashboardBytes))
}

// maxDashboardBytes of all files together.
const maxDashboardBytes = 64 << 20

// newDashboard reads every file once. ui may be nil.
func newDashboard(ui fs.FS, notBuilt string) (*dashboard, error) {
	d := &dashboard{files: map[string]file{}, notBuilt: []byte(notBuilt)}
	if len(d.notBuilt) == 0 {
		d.notBuilt = []byte("<!doctype html><title>Waybill</title><p>Waybill runs. This server has no dashboard; the API and the command line work.")
	}
	if ui == nil {
		return d, nil
	}
	total := 0
	err := fs.WalkDir(ui, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		data, err := fs.ReadFile(ui, name)
		if err != nil {
			return err
		}
		if total += len(data); total > maxDashboardBytes {
			return errors.New("the dashboard is too large")
		}
		f := file{contentType: typeOf(name), plain: data}
		if f.zipped, err = zip(f); err != nil {
			return err
		}
		if f.zipped != nil {
			f.plain = nil
		}
		d.files[name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	return d, nil
}

// typeOf does not ask the operating system: the answer must not depend on it.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json", ".webmanifest":
		return "application/json"
	case ".woff2":
		return "font/woff2"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func zip(f file) ([]byte, error) {
	if !strings.HasPrefix(f.contentType, "text/") && !strings.Contains(f.contentType, "json") && !strings.Contains(f.contentType, "svg") {
		return nil, nil
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(f.plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() >= len(f.plain) {
		return nil, nil
	}
	return bytes.Clone(b.Bytes()), nil // without the room to grow
}

// ServeHTTP answers GET and HEAD.
func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	f, ok := d.files[name]
	switch {
	case ok && name != "index.html":
		// Built files carry a hash of their content in their name.
		if strings.HasPrefix(name, "assets/") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			w.Header().Set("Cache-Control", "public, max-age=300")
		}
	case strings.HasPrefix(name, "assets/"):
		// A page of an older build asks for a file that is gone: no HTML for it.
		http.NotFound(w, r)
		return
	default:
		w.Header().Set("Cache-Control", "no-cache")
		if f, ok = d.files["index.html"]; !ok {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write(d.notBuilt)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	body := f.zipped
	if body != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
	} else {
		var err error
		if body, err = f.unzipped(); err != nil { // it was zipped here
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client is gone if this fails
}

func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
