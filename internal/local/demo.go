package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/examples"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/secret"
)

// The demo's names.
const (
	// DemoProject is the sample Project; its Warehouse and its repositories
	// have the same name.
	DemoProject = "guestbook"
	demoBranch  = gitserver.DefaultBranch
)

// firstImages are in a new registry.
func firstImages() []string { return []string{"1.26.0", "1.26.1"} }

// demo is the Git server and the registry.
type demo struct {
	git      *gitserver.Server
	registry *demoregistry.Server
}

// startDemo starts both and fills what is empty. seededPort is the port the
// content was last written for, 0 when never. Cloning needs no credentials,
// reading the registry does: both of a user's first steps can be tried.
func startDemo(ctx context.Context, d dir, p ports, password secret.Text, seededPort int) (_ *demo, err error) {
	x := &demo{}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close(context.WithoutCancel(ctx)))
		}
	}()
	x.git, err = gitserver.Start(ctx, gitserver.Options{
		Dir: d.path("git"), Addr: address(p.git), Username: User, Password: password, AnonymousRead: true,
	})
	if err != nil {
		return nil, err
	}
	x.registry, err = demoregistry.Start(demoregistry.Options{
		Addr: address(p.registry), Dir: d.path("registry"), Auth: demoregistry.AuthBasic,
		Username: User, Password: password, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	if seededPort == p.server {
		return x, nil
	}
	if err := x.seed(ctx, imageRepo(seededPort)); err != nil {
		return nil, fmt.Errorf("write the demo's content: %w", err)
	}
	return x, nil
}

func (x *demo) close(ctx context.Context) error {
	var err error
	if x.git != nil {
		err = x.git.Close(ctx)
	}
	if x.registry != nil {
		err = errors.Join(err, x.registry.Close(ctx))
	}
	return err
}

func (x *demo) gitURL() string { return x.git.URL(DemoProject) }

// imageRepo is the demo's image repository when the first port is base.
func imageRepo(base int) string { return address(portsFrom(base).registry) + "/" + DemoProject }

// seed makes the repository and the first images, or, when they exist and the
// ports have changed, writes the registry's new address where the old one,
// movedFrom, is.
func (x *demo) seed(ctx context.Context, movedFrom string) error {
	err := x.git.CreateRepo(ctx, DemoProject)
	if errors.Is(err, gitserver.ErrExists) {
		if _, err := x.git.Git(ctx, DemoProject, "rev-parse", "--verify", "--quiet", "refs/heads/"+demoBranch); err == nil {
			return x.move(ctx, movedFrom)
		}
	} else if err != nil {
		return err
	}
	for i, tag := range firstImages() {
		// Spread over time, so that the order of their making is the order of
		// their versions. The options are fixed: done again, nothing changes.
		made := time.Date(2026, 1, 5+i, 9, 0, 0, 0, time.UTC)
		if _, err := x.registry.PushImage(ctx, DemoProject, tag, demoregistry.ImageOptions{Created: made}); err != nil {
			return err
		}
	}
	files, err := x.content()
	if err != nil {
		return err
	}
	_, err = x.git.Commit(ctx, DemoProject, gitserver.Commit{
		Branch: demoBranch, Files: files, Message: "guestbook: what runs in each Stage\n", Author: "Waybill demo <demo@waybill.dev>", When: time.Now(),
	})
	return err
}

// content is what the repository holds at first.
func (x *demo) content() (map[string]gitserver.File, error) {
	const root = "guestbook/repository"
	files := map[string]gitserver.File{}
	err := fs.WalkDir(examples.Guestbook, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := examples.Guestbook.ReadFile(name)
		if err != nil {
			return err
		}
		here := strings.ReplaceAll(string(data), examples.ImageRepo, x.imageRepo())
		files[strings.TrimPrefix(name, root+"/")] = gitserver.File{Content: here}
		return nil
	})
	return files, err
}

func (x *demo) imageRepo() string { return x.registry.Host() + "/" + DemoProject }

// move writes the registry's new address on the main branch. What people
// changed there otherwise stays. Stage branches follow with their next
// promotion.
func (x *demo) move(ctx context.Context, from string) error {
	to := x.imageRepo()
	if from == to {
		return nil
	}
	list, err := x.git.Git(ctx, DemoProject, "grep", "-lz", "--fixed-strings", "-e", from, demoBranch, "--")
	if err != nil {
		return nil //nolint:nilerr // git grep fails when nothing is found: then nothing is to be changed.
	}
	files := map[string]gitserver.File{}
	for _, name := range bytes.Split(bytes.TrimRight(list, "\x00"), []byte{0}) {
		file := strings.TrimPrefix(string(name), demoBranch+":")
		data, err := x.git.Git(ctx, DemoProject, "cat-file", "blob", demoBranch+":"+file)
		if err != nil {
			return err
		}
		files[file] = gitserver.File{Content: strings.ReplaceAll(string(data), from, to)}
	}
	_, err = x.git.Commit(ctx, DemoProject, gitserver.Commit{
		Branch: demoBranch, Files: files, Message: "guestbook: the registry has another address\n", Author: "Waybill demo <demo@waybill.dev>", When: time.Now(),
	})
	return err
}

// Manifest is one file of definitions.
type Manifest struct {
	// Name of the file, for messages.
	Name string
	// Content is YAML.
	Content string
}

// DemoManifests returns the sample Project's definitions for this instance, in
// the order in which they apply. They hold the password.
func (i Instance) DemoManifests() ([]Manifest, error) {
	names, err := fs.Glob(examples.Guestbook, "guestbook/*.yaml")
	if err != nil {
		return nil, err
	}
	here := strings.NewReplacer(
		examples.GitURL, i.GitURL, examples.ImageRepo, i.Registry+"/"+DemoProject,
		"username: "+examples.Username, "username: "+i.User, examples.Password, i.Password,
	)
	var all []Manifest
	for _, name := range names {
		data, err := examples.Guestbook.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Manifest{Name: path.Base(name), Content: here.Replace(string(data))})
	}
	return all, nil
}

// transport for pushes to the registry, which is on this machine: no proxy.
func directTransport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: 30 * time.Second}
}
