package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultBranch is the branch HEAD of a new repository names.
const DefaultBranch = "main"

// ErrExists is returned by CreateRepo for a name that is taken.
var ErrExists = errors.New("repository exists")

// File is one file of a commit made on the server.
type File struct {
	// Content is the file's bytes; for a symlink, its target.
	Content string
	// Mode is Git's octal mode; empty means "100644". "100755" is executable,
	// "120000" a symlink, "160000" a submodule whose commit is Content.
	Mode string
}

// Commit is a commit to make on the server itself, without a clone.
type Commit struct {
	// Branch receives the commit; it is created when missing.
	Branch string
	// From names the parent of a branch that does not exist yet, as a branch;
	// empty makes a commit without parents.
	From string
	// Files are set and Remove are removed, relative to the parent.
	Files  map[string]File
	Remove []string
	// Message is the commit message; Author its "Name <email>" (default
	// "Example <dev@example.com>"); When its date, in whole seconds.
	Message string
	Author  string
	When    time.Time
}

// CreateRepo makes an empty repository whose HEAD names DefaultBranch. It
// returns ErrExists when the name is taken.
func (s *Server) CreateRepo(ctx context.Context, name string) error {
	if !validName(name) {
		return fmt.Errorf("git server: %q is not a repository name", name)
	}
	dir := s.repoDir(name)
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("git server: create %q: %w", name, ErrExists)
	}
	// Made aside and renamed, so that a crash leaves no half repository.
	tmp, err := os.MkdirTemp(s.dir, ".new-")
	if err != nil {
		return fmt.Errorf("git server: create %q: %w", name, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if _, err := s.run(ctx, tmp, nil, "init", "--quiet", "--bare", "--initial-branch="+DefaultBranch, "."); err != nil {
		return err
	}
	for _, kv := range [][2]string{
		{"transfer.fsckObjects", "true"},              // what clients write must be well-formed
		{"receive.denyNonFastForwards", "true"},       // history is never rewritten by a push
		{"receive.autogc", "false"}, {"gc.auto", "0"}, // no process outlives its request
	} {
		if _, err := s.run(ctx, tmp, nil, "config", kv[0], kv[1]); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("git server: create %q: %w", name, err)
	}
	return nil
}

// Commit makes a commit and returns its hash, in hex.
func (s *Server) Commit(ctx context.Context, repo string, c Commit) (string, error) {
	if c.Branch == "" || c.When.IsZero() {
		return "", errors.New("git server: a commit needs a branch and a date")
	}
	if c.Author == "" {
		c.Author = "Example <dev@example.com>"
	}
	ref := "refs/heads/" + c.Branch
	parent := ""
	if _, err := s.Git(ctx, repo, "rev-parse", "--verify", "--quiet", ref); err == nil {
		parent = ref + "^0"
	} else if c.From != "" {
		parent = "refs/heads/" + c.From + "^0"
	}
	var in bytes.Buffer
	fmt.Fprintf(&in, "commit %s\ncommitter %s %d +0000\ndata %d\n%s\n", ref, c.Author, c.When.Unix(), len(c.Message), c.Message)
	if parent != "" {
		fmt.Fprintf(&in, "from %s\n", parent)
	}
	for _, path := range c.Remove {
		fmt.Fprintf(&in, "D %s\n", quotePath(path))
	}
	paths := make([]string, 0, len(c.Files))
	for path := range c.Files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		f := c.Files[path]
		switch f.Mode {
		case "":
			f.Mode = "100644"
		case "160000":
			fmt.Fprintf(&in, "M 160000 %s %s\n", f.Content, quotePath(path))
			continue
		}
		fmt.Fprintf(&in, "M %s inline %s\ndata %d\n%s\n", f.Mode, quotePath(path), len(f.Content), f.Content)
	}
	if _, err := s.runIn(ctx, repo, in.Bytes(), "fast-import", "--quiet"); err != nil {
		return "", err
	}
	out, err := s.Git(ctx, repo, "rev-parse", ref)
	return strings.TrimSpace(string(out)), err
}

// Git runs git in the named repository and returns what it prints.
func (s *Server) Git(ctx context.Context, repo string, args ...string) ([]byte, error) {
	return s.runIn(ctx, repo, nil, args...)
}

// SetHook installs a hook script (say "pre-receive"); an empty script removes
// it.
func (s *Server) SetHook(repo, hook, script string) error {
	if !validName(repo) || !validName(hook) {
		return fmt.Errorf("git server: hook %q of %q: bad name", hook, repo)
	}
	path := filepath.Join(s.repoDir(repo), "hooks", hook)
	if script == "" {
		return os.Remove(path)
	}
	return os.WriteFile(path, []byte(script), 0o700) //nolint:gosec // A hook must be executable.
}

func (s *Server) runIn(ctx context.Context, repo string, stdin []byte, args ...string) ([]byte, error) {
	if !validName(repo) {
		return nil, fmt.Errorf("git server: %q is not a repository name", repo)
	}
	return s.run(ctx, s.repoDir(repo), stdin, args...)
}

func (s *Server) run(ctx context.Context, dir string, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.git.path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"GIT_DIR=" + dir}, s.git.env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// quotePath writes a path the way fast-import reads it: in double quotes, with
// C escapes.
func quotePath(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}
