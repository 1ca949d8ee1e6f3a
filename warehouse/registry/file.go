package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/internal/outbound"
)

// File is a file of an HTTP server.
type File struct {
	// Body is nil when IsUnchanged.
	Body []byte
	ETag string
	// IsUnchanged: it is what the given ETag stands for.
	IsUnchanged bool
}

// File reads a file of a server that is no OCI registry: path below r.URL, which
// begins with http:// or https://. Limits, back-off, credentials and errors are
// those of a registry; a credential is sent without being asked for. etag is of
// the last answer, or empty.
func (c *Client) File(ctx context.Context, r Repository, path, etag string, maxBytes int64) (File, error) {
	verb := "read " + path + " of"
	u, s, repo, err := c.openServer(verb, r)
	if err != nil {
		return File{}, err
	}
	op := operation{verb, r.URL}
	if u.Scheme == "http" && !s.credential.Password.IsEmpty() && !outbound.IsLoopbackName(u.Hostname()) {
		return File{}, s.fail(op, ErrRefused, 0, "a credential is not sent over plain http")
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = strings.TrimRight(u.Path, "/")+"/"+path, "", "", ""
	header := http.Header{}
	if etag != "" {
		header.Set("If-None-Match", etag)
	}
	a, err := s.fetch(ctx, op, repo, request{method: http.MethodGet, url: u.String(), header: header, maxBytes: maxBytes, isBasic: true})
	if err != nil {
		return File{}, err
	}
	if a.status == http.StatusNotModified && etag != "" {
		return File{ETag: etag, IsUnchanged: true}, nil
	}
	if a.status != http.StatusOK {
		return File{}, s.failStatus(op, a)
	}
	f := File{Body: a.body, ETag: a.header.Get("ETag")}
	if len(f.ETag) > 512 {
		f.ETag = ""
	}
	return f, nil
}

// openServer is open for a server that is no OCI registry, whose address has a
// scheme.
func (c *Client) openServer(verb string, r Repository) (*url.URL, *session, *repository, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, nil, &Error{Kind: ErrInvalid, Op: verb, Repository: "", Detail: "its address is not an http or https URL without user name"}
	}
	key := sessionKey{
		host: strings.ToLower(u.Host), scheme: u.Scheme, credential: r.Credential.Fingerprint(), isInsecure: r.InsecureSkipTLSVerify,
	}
	s, repo, err := c.session(verb, key, r, u.Path)
	return u, s, repo, err
}

// Account counts a poll of a server that File was read from, and returns by how
// much it wants polls spread.
func (c *Client) Account(r Repository, requests int, err error) (stretch int) {
	_, s, _, openErr := c.openServer("poll", r)
	if openErr != nil {
		return 1
	}
	return s.account(requests, err)
}

// Malformed is the error for a file that was read and makes no sense.
func Malformed(r Repository, path, detail string) error {
	return &Error{Kind: ErrMalformed, Op: "read " + path + " of", Repository: r.URL, Credential: r.Credential.String(), Detail: clean(detail)}
}
