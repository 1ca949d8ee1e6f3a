package yamledit

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	image     = "registry.example.com/guestbook"
	oldDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	newDigest = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func both() ImageUpdate {
	return ImageUpdate{Name: image, NewTag: "1.27.0", Digest: newDigest, Pin: TagAndDigest}
}

func TestSetKustomizeImage(t *testing.T) {
	tests := []struct {
		name, why string
		doc       string
		update    ImageUpdate
		want      string
	}{
		{
			name: "tag and digest", why: "the diff is exactly the two scalars",
			doc: "# stage test\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\nresources: [../../base]   # shared\n\nimages:\n" +
				"  - name: redis\n    newTag: \"7\"\n  # the app\n  - newTag: 1.26.0 # pushed by CI\n    name: " + image + "\n    digest: '" + oldDigest + "'\n\nnamespace: guestbook-test\n",
			update: both(),
			want: "# stage test\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\nresources: [../../base]   # shared\n\nimages:\n" +
				"  - name: redis\n    newTag: \"7\"\n  # the app\n  - newTag: 1.27.0 # pushed by CI\n    name: " + image + "\n    digest: '" + newDigest + "'\n\nnamespace: guestbook-test\n",
		},
		{
			name: "CRLF and no final newline", doc: "resources:\r\n- d.yaml\r\nimages:\r\n- name: " + image + "\r\n  newTag: 1.26.0\r\n  digest: " + oldDigest, update: both(),
			want: "resources:\r\n- d.yaml\r\nimages:\r\n- name: " + image + "\r\n  newTag: 1.27.0\r\n  digest: " + newDigest,
		},
		{
			name: "digest is added", doc: "images:\n- name: " + image + "\n  newTag: 1.26.0 # v\n", update: both(),
			want: "images:\n- name: " + image + "\n  newTag: 1.27.0 # v\n  digest: " + newDigest + "\n",
		},
		{
			name: "pin Tag removes the digest", why: "kustomize would render the old digest with the new tag",
			doc:    "images:\n- name: " + image + "\n  newTag: 1.26.0\n  digest: " + oldDigest + "\nnamespace: n\n",
			update: ImageUpdate{Name: image, NewTag: "1.27.0", Pin: TagOnly},
			want:   "images:\n- name: " + image + "\n  newTag: 1.27.0\nnamespace: n\n",
		},
		{
			name: "pin Digest removes the tag", doc: "images:\n- newTag: 1.26.0\n  name: " + image + "\n",
			update: ImageUpdate{Name: image, Digest: newDigest, NewTag: "1.27.0", Pin: DigestOnly},
			want:   "images:\n- name: " + image + "\n  digest: " + newDigest + "\n",
		},
		{
			name: "found by newName", why: "the manifests say app, the registry name stands in newName",
			doc: "images:\n- name: app\n  newName: " + image + "\n  newTag: \"1.26\"\n", update: ImageUpdate{Name: image, NewTag: "1.27.0", Pin: TagOnly},
			want: "images:\n- name: app\n  newName: " + image + "\n  newTag: \"1.27.0\"\n",
		},
		{
			name: "every entry that renders the image", why: "two placeholders for one image must not run two versions",
			doc: "images:\n- {name: a, newName: " + image + ", newTag: v1}\n- {name: " + image + ", newTag: v1}\n", update: ImageUpdate{Name: image, NewTag: "v2", Pin: TagOnly},
			want: "images:\n- {name: a, newName: " + image + ", newTag: v2}\n- {name: " + image + ", newTag: v2}\n",
		},
		{
			name: "entry is added", doc: "images:\n- name: redis\n  newTag: \"7\"\nnamespace: n\n", update: both(),
			want: "images:\n- name: redis\n  newTag: \"7\"\n- name: " + image + "\n  newTag: 1.27.0\n  digest: " + newDigest + "\nnamespace: n\n",
		},
		{
			name: "list is added", doc: "resources:\n- base\n", update: both(),
			want: "resources:\n- base\nimages:\n- name: " + image + "\n  newTag: 1.27.0\n  digest: " + newDigest + "\n",
		},
		{
			name: "empty list is filled", doc: "images: []\nresources:\n- base\n", update: both(),
			want: "images:\n- name: " + image + "\n  newTag: 1.27.0\n  digest: " + newDigest + "\nresources:\n- base\n",
		},
		{
			name: "null list is filled", doc: "images:\nresources:\n- base\n", update: ImageUpdate{Name: image, NewTag: "v2", Pin: TagOnly},
			want: "images:\n- name: " + image + "\n  newTag: v2\nresources:\n- base\n",
		},
		{
			name: "new name", doc: "images:\n- name: " + image + "\n  newTag: v1\n", update: ImageUpdate{Name: image, NewName: "mirror.example.com/g", NewTag: "v2", Pin: TagOnly},
			want: "images:\n- name: " + image + "\n  newTag: v2\n  newName: mirror.example.com/g\n",
		},
		{
			name: "keys in other case", why: "kustomize reads keys without regard to case; a second key would be the one it keeps",
			doc: "Images:\n- Name: " + image + "\n  newtag: v1\n", update: ImageUpdate{Name: image, NewTag: "v2", Pin: TagOnly},
			want: "Images:\n- Name: " + image + "\n  newtag: v2\n",
		},
		{
			name: "tag that looks like a number", doc: "images:\n- name: " + image + "\n  newTag: v1\n", update: ImageUpdate{Name: image, NewTag: "1.30", Pin: TagOnly},
			want: "images:\n- name: " + image + "\n  newTag: \"1.30\"\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, changed, err := SetKustomizeImage([]byte(tt.doc), tt.update)
			if err != nil {
				t.Fatalf("%v (%s)", err, tt.why)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
			if !changed {
				t.Error("not reported as a change")
			}
			again, changed, err := SetKustomizeImage(got, tt.update)
			if err != nil || changed || string(again) != string(got) {
				t.Errorf("setting twice: changed %v, %v", changed, err)
			}
		})
	}
}

func TestSetKustomizeImageRefuses(t *testing.T) {
	tests := []struct {
		name, doc string
		update    ImageUpdate
		want      error
	}{
		{"tag missing", "images: []\n", ImageUpdate{Name: image, Digest: newDigest, Pin: TagAndDigest}, ErrInvalidValue},
		{"digest missing", "images: []\n", ImageUpdate{Name: image, NewTag: "v1"}, ErrInvalidValue},
		{"tag with a newline", "images: []\n", ImageUpdate{Name: image, NewTag: "v1\nx: y", Pin: TagOnly}, ErrInvalidValue},
		{"unknown pin", "images: []\n", ImageUpdate{Name: image, NewTag: "v1", Pin: "tag"}, ErrInvalidValue},
		{"name with a tag digest", "images: []\n", ImageUpdate{Name: image + "@" + newDigest, NewTag: "v1", Pin: TagOnly}, ErrInvalidValue},
		{"images is a mapping", "images: {a: b}\n", both(), ErrUnsupported},
		{"item is a text", "images: [a]\n", both(), ErrUnsupported},
		{"not a kustomization", "kind: Deployment\n", both(), ErrUnsupported},
		{"a list", "- a\n", both(), ErrUnsupported},
		{"old imageTags", "imageTags: [{name: a, newTag: b}]\n", both(), ErrUnsupported},
		{"two images lists", "images: []\nImages: []\n", both(), ErrUnsupported},
		{"entry is an alias", "x: &e {name: " + image + ", newTag: v1}\nimages: [*e]\n", both(), ErrShared},
		{"empty", "", both(), ErrUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, changed, err := SetKustomizeImage([]byte(tt.doc), tt.update)
			if !errors.Is(err, tt.want) || got != nil || changed {
				t.Errorf("= %q, %v, %v; want %v", got, changed, err, tt.want)
			}
		})
	}
}

// TestKustomizeRendersPins holds the assumption behind Pin against kustomize itself: what each pin writes is the
// reference it promises in the rendered manifest.
func TestKustomizeRendersPins(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: \"" + image + ":0.1@" + oldDigest + "\"}]}\n"
	for pin, want := range map[Pin]string{
		TagAndDigest: image + ":1.27.0@" + newDigest,
		TagOnly:      image + ":1.27.0",
		DigestOnly:   image + "@" + newDigest,
	} {
		for _, before := range []string{"resources: [pod.yaml]\n", "resources: [pod.yaml]\nimages: [{name: " + image + ", newTag: v0, digest: \"" + oldDigest + "\"}]\n"} {
			update := both()
			update.Pin = pin
			doc, _, err := SetKustomizeImage([]byte(before), update)
			if err != nil {
				t.Fatal(err)
			}
			files := filesys.MakeFsInMemory()
			for name, text := range map[string]string{"/kustomization.yaml": string(doc), "/pod.yaml": pod} {
				if err := files.WriteFile(name, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/")
			if err != nil {
				t.Fatal(err)
			}
			out, err := result.AsYaml()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), "image: "+want+"\n") {
				t.Errorf("pin %s renders\n%s\nwant image %s", pin, out, want)
			}
		}
	}
}
