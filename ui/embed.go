// Package ui carries the built dashboard inside the server binary.
package ui

import (
	"embed"
	"io/fs"
)

// The dist folder always holds .gitkeep, so that the module compiles before the dashboard was built
// (vite copies the file back from public after it emptied the folder). "all:" takes the dot file along.
//
//go:embed all:dist
var dist embed.FS

// FS returns the built dashboard with index.html at its root, and whether it was built.
// When it was not, the file system holds no page and the server should answer with NotBuilt.
func FS() (fs.FS, bool) {
	root, err := fs.Sub(dist, "dist")
	if err != nil { // fs.Sub fails on invalid names only
		return dist, false
	}
	_, err = fs.Stat(root, "index.html")
	return root, err == nil
}

// NotBuilt is the page a server without a dashboard answers with. It has no script and no style,
// so it needs nothing from the content security policy.
const NotBuilt = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Waybill</title></head>
<body>
<h1>Waybill runs, its dashboard was not built</h1>
<p>This binary was compiled without the web pages. Build them with <code>npm ci &amp;&amp; npm run build</code>
in the <code>ui</code> folder, then build the server again (<code>make build</code> does both).</p>
<p>The API and the command line work: <code>waybill status</code>.</p>
</body>
</html>
`
