package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// Probe is what a server shows to anybody.
type Probe struct {
	Version model.Version
	// Date is the server's clock, exact to a second; zero when it did not say.
	Date time.Time
	// CertificateUntil is when its certificate ends; zero without TLS.
	CertificateUntil time.Time
}

// maxVersionBytes bounds the answer to the question for the version.
const maxVersionBytes = 64 << 10

// Probe asks the server for its version, and looks at its clock and certificate. It
// needs no token.
func (c *Client) Probe(ctx context.Context) (*Probe, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx, call{method: http.MethodGet, path: []string{"version"}}, "application/json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, readProblem(resp)
	}
	var out Probe
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxVersionBytes))
	if err == nil {
		err = json.Unmarshal(data, &out.Version)
	}
	if err != nil {
		return nil, &UnreachableError{Server: c.base.Redacted(), Err: err}
	}
	out.Date, _ = http.ParseTime(resp.Header.Get("Date")) // zero when there is none
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		out.CertificateUntil = resp.TLS.PeerCertificates[0].NotAfter
	}
	return &out, nil
}

// Ready returns nil when the server can answer, else why not.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodGet, path: []string{"readyz"}}, nil)
}

// Doctor returns how the parts of the server are that no other page shows.
func (c *Client) Doctor(ctx context.Context) (*model.Doctor, error) {
	return get[model.Doctor](ctx, c, nil, "doctor")
}
