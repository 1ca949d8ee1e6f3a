package pullrequest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

// jsonAPI is a provider whose API is spoken to without an SDK: a few calls with
// JSON both ways.
type jsonAPI struct {
	place
	web *http.Client
	// base is the address that calls begin with.
	base string
	// user and the place's password are sent; without user the password is a
	// bearer token, unless isBasic.
	user    string
	isBasic bool
}

// call makes one request. in is sent as JSON unless it is nil; the answer is read
// into out unless that is nil. refused is the kind of an answer that says no.
func (a *jsonAPI) call(ctx context.Context, op, method, path string, in, out any, refused error) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", op, a.shown, err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", op, a.shown, err)
	}
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.user != "" || a.isBasic {
		r.SetBasicAuth(a.user, a.password.Reveal())
	} else {
		r.Header.Set("Authorization", "Bearer "+a.password.Reveal())
	}
	resp, err := a.web.Do(r)
	if err != nil {
		return a.fail(op, 0, err, refused)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body) // bounded by capped
	if err != nil {
		return a.fail(op, 0, err, refused)
	}
	switch {
	case resp.StatusCode == http.StatusNonAuthoritativeInfo: // a page to sign in, in place of an answer
		return a.fail(op, http.StatusUnauthorized, errors.New("it asks to sign in"), refused)
	case resp.StatusCode >= 300:
		return a.fail(op, resp.StatusCode, said(resp.Status, raw), refused)
	case out == nil || len(raw) == 0:
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return a.fail(op, 0, fmt.Errorf("its answer is no JSON of a known form: %w", err), refused)
	}
	return nil
}

// said is what a provider says is wrong: Azure DevOps in message, Bitbucket in
// error.message.
func said(status string, raw []byte) error {
	var body struct {
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
			Detail  string `json:"detail"`
		} `json:"error"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return errors.New(status)
	}
	var parts []string
	for _, p := range []string{status, body.Message, body.Error.Message, body.Error.Detail} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return errors.New(strings.Join(parts, ": "))
}

func newJSONAPI(at place, web *http.Client, base, user string, token secret.Text) *jsonAPI {
	at.password = token
	return &jsonAPI{place: at, web: web, base: base, user: user}
}
