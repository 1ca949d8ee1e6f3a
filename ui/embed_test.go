package ui_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/ui"
)

// A built dashboard must start from index.html and must not need inline scripts or styles, because the
// content security policy refuses them.
func TestFS(t *testing.T) {
	root, built := ui.FS()
	index, err := fs.ReadFile(root, "index.html")
	if built != (err == nil) {
		t.Fatalf("built = %v, but reading index.html: %v", built, err)
	}
	if _, err := fs.Stat(root, ".gitkeep"); err != nil {
		t.Errorf("the placeholder must survive a build, or a clean clone would not compile: %v", err)
	}
	if !built {
		t.Skip("the dashboard is not built: run npm run build in ui")
	}
	page := string(index)
	for _, forbidden := range []string{"<style", "<script>", " style=", " onload="} {
		if strings.Contains(page, forbidden) {
			t.Errorf("index.html contains %q, which the content security policy refuses", forbidden)
		}
	}
	if !strings.Contains(page, `<script src="/theme.js">`) {
		t.Errorf("index.html does not load /theme.js:\n%s", page)
	}
}

func TestNotBuiltPageIsPlain(t *testing.T) {
	for _, forbidden := range []string{"<script", "<style", "style="} {
		if strings.Contains(ui.NotBuilt, forbidden) {
			t.Errorf("NotBuilt contains %q", forbidden)
		}
	}
}
