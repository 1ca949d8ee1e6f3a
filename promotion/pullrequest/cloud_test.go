package pullrequest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/test/provider"
)

// login is the credential of every repository.
type login struct{ user, password string }

// Lookup implements pullrequest.Credentials.
func (l login) Lookup(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
	return credentials.Credential{Name: "git", Username: l.user, Password: secret.New(l.password)}, nil
}

const (
	onBitbucket = "https://bitbucket.org/team/guestbook.git"
	onAzure     = "https://dev.azure.com/org/team/_git/guestbook"
)

// TestAddresses: which addresses are repositories of which provider.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		repoURL  string
		provider pullrequest.Provider
		isKnown  bool
	}{
		{onBitbucket, "", true},
		{"git@bitbucket.org:team/guestbook.git", "", true},
		{"https://bitbucket.org/team/group/guestbook", "", false},
		{"https://bitbucket.example.com/scm/team/guestbook.git", pullrequest.Bitbucket, false}, // Data Center
		{onAzure, "", true},
		{"https://dev.azure.com/org/My%20Project/_git/guestbook", "", true},
		{"https://dev.azure.com/org/_git/guestbook", "", true},
		{"git@ssh.dev.azure.com:v3/org/team/guestbook", "", true},
		{"https://org.visualstudio.com/team/_git/guestbook", "", true},
		{"https://azure.example.com/collection/team/_git/guestbook", pullrequest.Azure, true},
		{"https://dev.azure.com/org/team/guestbook", "", false},
		{"https://git.example.com/team/guestbook", "svn", false},
		{"https://git.example.com/team/guestbook", "", false},
	} {
		providers := pullrequest.Providers{Credentials: login{"", provider.Token}}
		_, err := providers.Client(t.Context(), "guestbook", c.repoURL, c.provider)
		if c.isKnown != (err == nil) || err != nil && !errors.Is(err, pullrequest.ErrProvider) {
			t.Errorf("%s as %q: %v", c.repoURL, c.provider, err)
		}
	}
}

// TestLongTexts: what a pull request is found by stays when its text is longer
// than the provider takes, and when a list shows the beginning alone.
func TestLongTexts(t *testing.T) {
	for _, repoURL := range []string{onBitbucket, onAzure} {
		g := gittest.NewServer(t)
		server := provider.Start(t, g)
		g.CreateRepo("guestbook", map[string]string{"a": "1"})
		g.SetBranch("guestbook", "stage/test", g.Branch("guestbook", "main"))
		client := clientOf(t, server, repoURL, login{"", provider.Token})
		foot := "Waybill-Promotion-UID: uid-1\n"
		opened, err := client.Open(t.Context(), pullrequest.Draft{
			Source: "main", Target: "stage/test", Title: "long", Body: strings.Repeat("a plan with many objects, ä. ", 4000), Foot: foot,
		})
		if err != nil {
			t.Fatalf("%s: %v", repoURL, err)
		}
		found, err := client.Find(t.Context(), "main", "stage/test")
		if err != nil || len(found) != 1 || found[0].Number != opened.Number || !strings.HasSuffix(found[0].Body, "\n"+foot) || found[0].Head != g.Branch("guestbook", "main") {
			t.Errorf("%s: %d found, %v", repoURL, len(found), err)
		}
	}
}

// TestRefusedTokens: a token that is not taken is said to be that, also where the
// answer is a page to sign in, and is not repeated.
func TestRefusedTokens(t *testing.T) {
	g := gittest.NewServer(t)
	server := provider.Start(t, g)
	g.CreateRepo("guestbook", map[string]string{"a": "1"})
	for _, repoURL := range []string{onBitbucket, onAzure} {
		_, err := clientOf(t, server, repoURL, login{"", "stolen-token"}).Find(t.Context(), "main", "stage/test")
		if !errors.Is(err, pullrequest.ErrAuthentication) || strings.Contains(err.Error(), "stolen-token") {
			t.Errorf("%s: %v", repoURL, err)
		}
		_, err = clientOf(t, server, repoURL, login{"", provider.Token}).Get(t.Context(), 7)
		if !errors.Is(err, pullrequest.ErrNotFound) {
			t.Errorf("%s: a pull request that is not there: %v", repoURL, err)
		}
	}
	// A user's name with a token of theirs, and the user of an access token.
	for _, user := range []string{"alice@example.com", "x-token-auth"} {
		if _, err := clientOf(t, server, onBitbucket, login{user, provider.Token}).Find(t.Context(), "main", "stage/test"); err != nil {
			t.Errorf("as %s: %v", user, err)
		}
	}
}

func clientOf(t *testing.T, server *provider.Server, repoURL string, l login) pullrequest.Client {
	t.Helper()
	providers := pullrequest.Providers{Credentials: l, Transport: server.Transport()}
	c, err := providers.Client(t.Context(), "guestbook", repoURL, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
