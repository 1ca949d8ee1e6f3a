package product

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/local"
	"github.com/waybill-dev/waybill/test/env"
)

var update = flag.Bool("update", false, "write the golden files anew")

// patience is how long one thing may take on a busy machine.
const patience = 2 * time.Minute

// instance is a Waybill of its own, with the demo, and somebody signed in.
type instance struct {
	t    *testing.T
	bin  string
	home string
	info local.Instance
	// editor is $EDITOR.
	editor string
}

func start(t *testing.T) *instance {
	t.Helper()
	root, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, bin: filepath.Join(root, "bin"), home: t.TempDir()}
	for _, name := range []string{"waybill", "waybilld", "waybill-kube"} {
		if _, err := os.Stat(filepath.Join(i.bin, name)); err != nil {
			t.Fatalf("run make build: %v", err)
		}
	}
	t.Cleanup(func() {
		if _, stderr, code := i.run("", "local", "down", "--data", i.data()); code != 0 {
			t.Errorf("local down: exit code %d: %s", code, stderr)
		}
	})
	out, stderr, code := i.run("", "local", "up", "--demo", "--detach", "-o", "json", "--data", i.data(), "--port", strconv.Itoa(freeBase(t)))
	if code != 0 {
		t.Fatalf("local up: exit code %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(out), &i.info); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *instance) data() string { return filepath.Join(i.home, "data") }

// freeBase returns the first of enough consecutive free ports.
func freeBase(t *testing.T) int {
	t.Helper()
search:
	for range 100 {
		base := 30000 + rand.IntN(500)*local.PortCount
		for port := base; port < base+local.PortCount; port++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				continue search
			}
			_ = l.Close()
		}
		return base
	}
	t.Fatal("no free ports found")
	return 0
}

// run runs waybill.
func (i *instance) run(stdin string, args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	cmd := exec.Command(filepath.Join(i.bin, "waybill"), args...)
	cmd.Env = []string{"HOME=" + i.home, "PATH=" + os.Getenv("PATH"), "EDITOR=" + i.editor}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// transcript runs waybill and returns all it did, without what differs from one
// run to the next.
func (i *instance) transcript(stdin string, args ...string) string {
	i.t.Helper()
	stdout, stderr, code := i.run(stdin, args...)
	text := fmt.Sprintf("$ waybill %s\n%s", strings.Join(args, " "), stdout)
	if stderr != "" {
		text += "--- stderr\n" + stderr
	}
	return i.normal(text + fmt.Sprintf("--- exit code %d\n", code))
}

var (
	freightName  = regexp.MustCompile(`\bf[0-9a-f]{39}\b`)
	shortFreight = regexp.MustCompile(`\bf[0-9a-f]{7,8}\b`)
	commit       = regexp.MustCompile(`\b[0-9a-f]{7,40}\b`)
	ago          = regexp.MustCompile(`(?m)\b\d+[smhd]( ago)?(  |$)`)
	// columns are as wide as what was replaced: only that they are columns counts.
	columns = regexp.MustCompile(`(\S)   *`)
	// Who makes the Namespace of a new Project first is a race, and both are right.
	namespaces = regexp.MustCompile(`(?m)^(namespace/\S+) configured$`)
	aliases    = regexp.MustCompile(`\b[a-z]+-[a-z]+(  (Healthy|Waiting|Failed|Progressing|Frozen|Drifted|Unknown))`)
)

// normal replaces addresses, names made of digests, and ages.
func (i *instance) normal(text string) string {
	text = strings.NewReplacer(strings.TrimPrefix(i.info.Server, "http://"), "SERVER", i.info.Registry, "REGISTRY",
		strings.TrimSuffix(i.info.GitURL, ".git"), "GIT", i.info.GitURL, "GIT.git").Replace(text)
	text = columns.ReplaceAllString(text, "$1  ")
	text = aliases.ReplaceAllString(text, "ALIAS$1")
	text = namespaces.ReplaceAllString(text, "$1 created")
	text = freightName.ReplaceAllString(text, "FREIGHT")
	text = shortFreight.ReplaceAllString(text, "FREIGHT")
	text = commit.ReplaceAllStringFunc(text, func(word string) string {
		if strings.Trim(word, "abcdef") == "" {
			return word // a word; of a commit, one in a thousand; a number of seven digits is one
		}
		return "COMMIT"
	})
	return ago.ReplaceAllString(text, "AGE$2")
}

// eventually polls until the transcript of args is what wanted accepts.
func (i *instance) eventually(wanted func(string) bool, args ...string) string {
	i.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		got := i.transcript("", args...)
		if wanted(got) || time.Now().After(deadline) {
			return got
		}
		<-tick.C
	}
}

// story is a golden file that is written transcript by transcript.
type story struct {
	i    *instance
	name string
	want []string // what is left of the golden file, empty with -update
	told []string
}

// story opens testdata/name.golden.
func (i *instance) story(t *testing.T, name string) *story {
	t.Helper()
	s := &story{i: i, name: name}
	if *update {
		return s
	}
	want, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatalf("%v (go test ./internal/cli/product -update writes it)", err)
	}
	s.want = strings.Split(string(want), sectionBreak)
	return s
}

// sectionBreak stands between transcripts; none contains it.
const sectionBreak = "\n%%\n"

// tell adds the transcript of a command that is run once.
func (s *story) tell(stdin string, args ...string) {
	s.i.t.Helper()
	s.add(s.i.transcript(stdin, args...))
}

// tellOnce adds the transcript of a command as soon as it is the one of the
// golden file or, with -update, contains expected. After a while it adds what it
// is then.
func (s *story) tellOnce(expected string, args ...string) {
	s.i.t.Helper()
	s.add(s.i.eventually(func(got string) bool {
		if *update {
			return strings.Contains(got, expected)
		}
		return len(s.told) < len(s.want) && strings.TrimSuffix(s.want[len(s.told)], "\n") == strings.TrimSuffix(got, "\n")
	}, args...))
}

func (s *story) add(transcript string) { s.told = append(s.told, strings.TrimSuffix(transcript, "\n")) }

// end compares what was told with the golden file, or writes it.
func (s *story) end(t *testing.T) {
	t.Helper()
	got := strings.Join(s.told, sectionBreak) + "\n"
	if !*update {
		if diff := cmp.Diff(strings.Join(s.want, sectionBreak), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
		return
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", s.name+".golden"), []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}
