package hook

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// Kind says what a repository holds.
type Kind string

// The kinds. A Helm chart in an OCI registry is an artifact like an image.
const (
	Git   Kind = "git"
	Image Kind = "image"
	Chart Kind = "chart" // an index over http
)

// maxURLBytes bounds an address in a message.
const maxURLBytes = 2048

// Key is the form in which the repositories of messages and subscriptions are
// compared, or "" for what is no address. Scheme, user, case and a trailing
// .git do not count: a message may name the https address of a repository that
// is subscribed to by SSH.
func Key(kind Kind, repoURL string) string {
	repoURL = strings.TrimSpace(repoURL)
	if repoURL == "" || len(repoURL) > maxURLBytes {
		return ""
	}
	if kind == Image {
		n, err := repourl.Image(repoURL)
		if err != nil || !strings.Contains(repourl.OfficialImage(n), "/") {
			return ""
		}
		return string(kind) + ":" + strings.ToLower(repourl.OfficialImage(n))
	}
	n, err := repourl.Normalize(withoutUser(repoURL))
	if err != nil {
		return ""
	}
	host, path, ok := repourl.HostPath(n)
	if !ok || strings.Trim(path, "/") == "" {
		return ""
	}
	if path, isAzure := azurePath(host, path); isAzure {
		return string(kind) + ":dev.azure.com/" + strings.ToLower(path)
	}
	return string(kind) + ":" + strings.ToLower(host+path)
}

// SubscriptionKey returns the key of what a subscription follows.
func SubscriptionKey(s v1alpha1.Subscription) string {
	switch {
	case s.Image != nil:
		return Key(Image, s.Image.RepoURL)
	case s.Git != nil:
		return Key(Git, s.Git.RepoURL)
	case s.Chart != nil && strings.HasPrefix(s.Chart.RepoURL, "oci://"):
		return Key(Image, s.Chart.RepoURL)
	case s.Chart != nil:
		return Key(Chart, s.Chart.RepoURL)
	default:
		return ""
	}
}

// withoutUser removes the user of an http address, which Azure DevOps puts
// there. It is not a secret, and is not looked at.
func withoutUser(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found || strings.EqualFold(scheme, "ssh") {
		return raw
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if _, after, hasUser := strings.Cut(host, "@"); hasUser {
		host = after
	}
	if !hasPath {
		return scheme + "://" + host
	}
	return scheme + "://" + host + "/" + path
}

// azurePath gives the two addresses of an Azure DevOps repository one form:
// git@ssh.dev.azure.com:v3/ORG/PROJECT/REPO and
// https://dev.azure.com/ORG/PROJECT/_git/REPO.
func azurePath(host, path string) (_ string, isAzure bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if host == "ssh.dev.azure.com" && len(parts) == 4 && parts[0] == "v3" {
		return strings.Join(parts[1:], "/"), true
	}
	if host == "dev.azure.com" && len(parts) == 4 && parts[2] == "_git" {
		return parts[0] + "/" + parts[1] + "/" + parts[3], true
	}
	return "", false
}

// AnnotationOf returns the annotation by which a subscription with this key is
// told that its repository was pushed to.
func AnnotationOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return v1alpha1.AnnotationHookPrefix + hex.EncodeToString(sum[:12])
}
