package steps_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// signSteps commits with a signature. The key is in the configuration as an
// expression of a Secret leaves it.
func signSteps(t *testing.T, key string) []byte {
	t.Helper()
	quoted, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`
- uses: git-clone
  config: {repoURL: https://git.example.com/guestbook.git, author: {name: Robot, email: robot@example.com, signingKey: ` + string(quoted) + `}, checkout: [{branch: main, path: ./out}]}
- {uses: file-write, config: {path: ./out/version, contents: "1.27.0"}}
- {uses: git-commit, config: {path: ./out, message: "1.27.0"}}
- {uses: git-push, config: {path: ./out}}
`)
}

// sshKey returns a private key, and its public one as a line.
func sshKey(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

// pgpKey returns a private key, and its public one, armored.
func pgpKey(t *testing.T) (private, public string) {
	t.Helper()
	e, err := openpgp.NewEntity("Robot", "", "robot@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind string, with func(*bytes.Buffer) error) string {
		var raw, out bytes.Buffer
		if err := with(&raw); err != nil {
			t.Fatal(err)
		}
		w, err := armor.Encode(&out, kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(raw.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	private = write(openpgp.PrivateKeyType, func(b *bytes.Buffer) error { return e.SerializePrivate(b, nil) })
	public = write(openpgp.PublicKeyType, func(b *bytes.Buffer) error { return e.Serialize(b) })
	return private, public
}

// TestSignedCommits: git itself verifies what was signed, and a rerun signs the
// same.
func TestSignedCommits(t *testing.T) {
	t.Run("ssh", func(t *testing.T) {
		tool(t, "ssh-keygen")
		private, public := sshKey(t)
		b := newBench(t, map[string]string{"version": "1.26.0"})
		if out := b.run(promote(t, stageWith(readSteps(t, signSteps(t, private))))); !out.Done {
			t.Fatalf("outcome %+v", out)
		}
		signers := filepath.Join(t.TempDir(), "signers")
		if err := os.WriteFile(signers, []byte("robot@example.com "+public+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.server.Git("guestbook", "-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile="+signers, "verify-commit", "main") // fails the test when it is not good
	})
	t.Run("pgp", func(t *testing.T) {
		gpg := tool(t, "gpg")
		private, public := pgpKey(t)
		b := newBench(t, map[string]string{"version": "1.26.0"})
		if out := b.run(promote(t, stageWith(readSteps(t, signSteps(t, private))))); !out.Done {
			t.Fatalf("outcome %+v", out)
		}
		home, err := os.MkdirTemp("", "gpg") // short: gpg's sockets have short names
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
			_ = os.RemoveAll(home)
		})
		signed, signature := signedPart(b.server.Git("guestbook", "cat-file", "commit", "main"))
		for name, content := range map[string]string{"key": public, "signed": signed, "signature": signature} {
			if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"--import", filepath.Join(home, "key")}, {"--verify", filepath.Join(home, "signature"), filepath.Join(home, "signed")}} {
			if out, err := exec.Command(gpg, append([]string{"--homedir", home, "--batch"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("gpg %s: %v\n%s", args[0], err, out)
			}
		}
	})
	t.Run("no key", func(t *testing.T) {
		b := newBench(t, map[string]string{"version": "1.26.0"})
		p := promote(t, stageWith(readSteps(t, signSteps(t, "not-a-key-and-secret"))))
		out := b.run(p)
		if out.Failed == nil || out.Failed.Reason != "SigningKeyInvalid" || strings.Contains(states(p), "not-a-key") {
			t.Errorf("outcome %+v; %s", out, states(p))
		}
	})
}

// signedPart splits a commit into what was signed and the signature.
func signedPart(commit string) (signed, signature string) {
	inSignature, inMessage := false, false
	for line := range strings.Lines(commit) {
		switch {
		case inMessage:
			signed += line
		case strings.HasPrefix(line, "gpgsig "):
			inSignature = true
			signature += strings.TrimPrefix(line, "gpgsig ")
		case inSignature && strings.HasPrefix(line, " "):
			signature += line[1:]
		default:
			inSignature, inMessage = false, line == "\n"
			signed += line
		}
	}
	return signed, signature
}

func tool(t *testing.T, name string) string {
	t.Helper()
	found, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not here", name)
	}
	return found
}
