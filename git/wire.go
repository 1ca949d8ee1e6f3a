package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// The services of the smart HTTP protocol (gitprotocol-http(5)).
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

const (
	// agent is how we introduce ourselves; some servers want "git/" first.
	agent = "git/2.0 (waybill)"
	// maxRedirects bounds redirects within the host.
	maxRedirects = 5
	// maxReportBytes bounds the answer to a push: hooks may print.
	maxReportBytes = 4 << 20
)

// wire speaks Git's protocol, version 0, with one endpoint for one operation:
// over smart HTTP, or over SSH when ssh is set. What is said is the same; over
// HTTP the listing and the request after it are two exchanges, over SSH one.
type wire struct {
	endpoint
	op     string // for errors
	limits Limits
	client *http.Client
	ssh    *sshLink
	// metrics counts what is sent.
	metrics *metrics
}

// newWire returns the wire of an operation over the given transport.
func newWire(e endpoint, op string, transport http.RoundTripper, limits Limits, m *metrics) *wire {
	w := &wire{endpoint: e, op: op, limits: limits, metrics: m}
	w.client = &http.Client{Transport: transport, CheckRedirect: w.checkRedirect}
	return w
}

// close ends what the operation has open.
func (w *wire) close() {
	if w.ssh != nil {
		w.ssh.close()
	}
}

// listing is what a service says about its references, and where the request
// that follows goes.
type listing struct {
	*packp.AdvRefs
	base    string      // HTTP: the address it came from, which a redirect may have changed
	session *sshSession // SSH: it waits for the request
}

// errRedirected marks a refused redirect on its way through net/http.
var errRedirected = errors.New("redirect refused")

// checkRedirect follows a listing's redirect within the same host: scheme, name
// and port. Any other could carry the request, and a pack, to where the URL
// does not say.
func (w *wire) checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	sameHost := req.URL.Scheme == first.Scheme && strings.EqualFold(req.URL.Host, first.Host) && req.URL.User == nil
	if via[0].Method != http.MethodGet || !sameHost || len(via) > maxRedirects {
		return errRedirected
	}
	return nil
}

// advertise lists references for a service.
func (w *wire) advertise(ctx context.Context, service string) (_ *listing, err error) {
	defer func() { w.metrics.request(w.host(), listKind(service), err) }()
	ctx, cancel := context.WithTimeout(ctx, w.limits.CallTimeout)
	defer cancel()
	if w.ssh != nil {
		return w.advertiseSSH(ctx, service)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/info/refs?service="+service, http.NoBody)
	if err != nil {
		return nil, w.fail(ErrInvalidRemote, "")
	}
	res, err := w.do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := w.wantType(res, "application/x-"+service+"-advertisement"); err != nil {
		return nil, err
	}
	adv := packp.NewAdvRefs()
	body := &limited{r: res.Body, left: w.limits.ListBytes}
	switch err := adv.Decode(body); {
	case errors.Is(err, packp.ErrEmptyAdvRefs): // an empty repository
	case err != nil:
		return nil, w.broken(ctx, body, err)
	}
	from, isListing := strings.CutSuffix(res.Request.URL.Path, "/info/refs")
	if !isListing {
		return nil, w.fail(ErrNotGit, "the listing was redirected to another path")
	}
	u := *res.Request.URL
	u.Path, u.RawPath, u.RawQuery = from, strings.TrimSuffix(u.RawPath, "/info/refs"), ""
	return &listing{AdvRefs: adv, base: u.String()}, nil
}

// fetchPack asks for a pack. The caller reads and closes it; reading fails with
// an *Error when the answer is too large or broken.
func (w *wire) fetchPack(ctx context.Context, l *listing, ask *packp.UploadPackRequest) (io.ReadCloser, error) {
	var in bytes.Buffer
	encode := errors.Join(ask.UploadRequest.Encode(&in), ask.UploadHaves.Encode(&in, false), pktline.NewEncoder(&in).EncodeString("done\n"))
	if encode != nil {
		return nil, w.fail(ErrNotGit, "the request cannot be written")
	}
	out, err := w.send(ctx, l, uploadPack, in.Bytes())
	if err != nil {
		return nil, err
	}
	body := &limited{r: out, left: w.limits.PackBytes}
	answer := packp.NewUploadPackResponse(ask)
	if err := answer.Decode(io.NopCloser(body)); err != nil {
		_ = out.Close()
		var said *pktline.ErrorLine
		if errors.As(err, &said) {
			return nil, w.fail(ErrRejected, said.Text)
		}
		return nil, w.broken(ctx, body, err)
	}
	var pack io.Reader = answer
	switch {
	case ask.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, pack)
	case ask.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, pack)
	}
	return &packReader{w: w, ctx: ctx, pack: pack, body: body, close: out.Close}, nil
}

// packReader translates what goes wrong while a pack arrives.
type packReader struct {
	w     *wire
	ctx   context.Context //nolint:containedctx // The one of the request whose answer this is.
	pack  io.Reader
	body  *limited
	close func() error
}

func (p *packReader) Read(b []byte) (int, error) {
	n, err := p.pack.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = p.w.broken(p.ctx, p.body, err)
	}
	return n, err
}

func (p *packReader) Close() error { return p.close() }

// pushPack sends commands and a pack. It returns the server's report, and what
// the server printed, for people. Once the request may have been sent, every
// error but a clear refusal is ErrUnknownOutcome.
func (w *wire) pushPack(ctx context.Context, l *listing, request []byte, sideband64k bool) (_ *packp.ReportStatus, said string, _ error) {
	ctx, cancel := context.WithTimeout(ctx, w.limits.FetchTimeout)
	defer cancel()
	out, err := w.send(ctx, l, receivePack, request)
	if err != nil {
		return nil, "", w.unlessRefused(err)
	}
	defer func() { _ = out.Close() }()
	var body io.Reader = bufio.NewReader(&limited{r: out, left: maxReportBytes})
	var printed bytes.Buffer
	if sideband64k {
		demuxer := sideband.NewDemuxer(sideband.Sideband64k, body)
		demuxer.Progress = &printed
		body = demuxer
	}
	report := packp.NewReportStatus()
	if err := report.Decode(body); err != nil {
		return nil, "", w.unknown(w.broken(ctx, nil, err))
	}
	return report, printed.String(), nil
}

// send gives a request to the service that made the listing and returns its
// answer, for the caller to close.
func (w *wire) send(ctx context.Context, l *listing, service string, body []byte) (io.ReadCloser, error) {
	answer, err := w.exchange(ctx, l, service, body)
	w.metrics.request(w.host(), requestKind(service), err)
	return answer, err
}

func (w *wire) exchange(ctx context.Context, l *listing, service string, body []byte) (io.ReadCloser, error) {
	if l.session != nil {
		return l.session.send(ctx, body)
	}
	res, err := w.post(ctx, l.base, service, body)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func (w *wire) post(ctx context.Context, base, service string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/"+service, bytes.NewReader(body))
	if err != nil {
		e := w.fail(ErrInvalidRemote, "")
		e.refused = true
		return nil, e
	}
	req.Header.Set("Content-Type", "application/x-"+service+"-request")
	req.Header.Set("Accept", "application/x-"+service+"-result")
	res, err := w.do(req)
	if err != nil {
		return nil, err
	}
	if err := w.wantType(res, "application/x-"+service+"-result"); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return res, nil
}

// do sends a request with the credentials and classifies everything but 200.
func (w *wire) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", agent)
	if !w.anonymous() {
		user := w.Username
		if user == "" {
			user = "git"
		}
		req.SetBasicAuth(user, w.Password.Reveal())
	}
	res, err := w.client.Do(req)
	if err != nil {
		if errors.Is(err, errRedirected) {
			e := w.fail(ErrRedirected, redirectTarget(err))
			e.refused = true
			return nil, e
		}
		return nil, w.unreachable(req.Context(), err)
	}
	if res.StatusCode != http.StatusOK {
		defer func() { _ = res.Body.Close() }()
		return nil, w.status(res)
	}
	return res, nil
}

// redirectTarget returns scheme and host a refused redirect pointed to.
func redirectTarget(err error) string {
	var uerr *url.Error
	if !errors.As(err, &uerr) {
		return ""
	}
	u, perr := url.Parse(uerr.URL)
	if perr != nil || u.Host == "" {
		return ""
	}
	return oneLine(fmt.Sprintf("to %s://%s", u.Scheme, u.Host))
}

func (w *wire) wantType(res *http.Response, want string) error {
	got, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if strings.EqualFold(strings.TrimSpace(got), want) {
		return nil
	}
	return w.fail(ErrNotGit, fmt.Sprintf("content type is %q, want %q; is this the address of a repository?", oneLine(got), want))
}

// limited reads at most left bytes and remembers that there were more.
type limited struct {
	r        io.Reader
	left     int64
	exceeded bool
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		// One more byte tells "exactly the limit" from "more".
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		l.exceeded = true
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
