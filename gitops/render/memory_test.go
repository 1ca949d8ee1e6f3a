package render

import (
	"testing"
	"testing/fstest"
)

func TestFilesIsAFileSystem(t *testing.T) {
	files := Files(map[string][]byte{
		"Chart.yaml": []byte("name: app\n"), "templates/a.yaml": []byte("a: 1\n"), "templates/deep/b.yaml": nil,
		"../out": []byte("x"), "/etc/passwd": []byte("x"), ".": nil,
	})
	if err := fstest.TestFS(files, "Chart.yaml", "templates/a.yaml", "templates/deep/b.yaml"); err != nil {
		t.Error(err)
	}
}
