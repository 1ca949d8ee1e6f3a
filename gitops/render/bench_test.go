package render

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkPlain(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		var manifests strings.Builder
		for i := range n {
			manifests.WriteString("---\n" + strings.Replace(deployment, "{name: guestbook}", fmt.Sprintf("{name: guestbook-%d}", i), 1))
		}
		files := repo(map[string]string{"a.yaml": manifests.String()})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if got, err := Render(context.Background(), Source{FS: files}, Limits{}); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

func BenchmarkKustomize(b *testing.B) {
	files := repo(guestbook())
	for b.Loop() {
		if _, err := Render(context.Background(), Source{FS: files, Path: "stages/test"}, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
