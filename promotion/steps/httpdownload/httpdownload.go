// Package httpdownload is the step http-download: it puts what a URL returns into
// a file. When the step is repeated after an interruption, what is there now has
// to be what was there before. Output: digest, the SHA-256 of the file.
package httpdownload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

// Config of http-download.
type Config struct {
	// URL of the file.
	URL string `json:"url"`
	// OutPath is where it goes.
	OutPath string `json:"outPath"`
	// Headers of the request.
	Headers []Pair `json:"headers,omitempty"`
	// QueryParams are added to the URL.
	QueryParams []Pair `json:"queryParams,omitempty"`
	// AllowOverwrite replaces a file that is there.
	AllowOverwrite bool `json:"allowOverwrite,omitempty"`
	// Timeout of the request; default 30s, at most 5m.
	Timeout string `json:"timeout,omitempty"`
}

// Pair is a name with a value.
type Pair struct {
	// Name of the header or parameter.
	Name string `json:"name"`
	// Value of it.
	Value string `json:"value"`
}

// Step is http-download.
type Step struct {
	// Transport that guards where requests go.
	Transport http.RoundTripper
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run downloads the file.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	timeout, err := web.Duration("timeout", c.Timeout, 0)
	if err != nil {
		return step.Result{}, err
	}
	if !c.AllowOverwrite {
		if _, err := in.ReadFile(c.OutPath); err == nil {
			return step.Result{}, step.Terminal("FileExists", fmt.Errorf("file %q is there already; set allowOverwrite to replace it", c.OutPath))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return step.Result{}, err
		}
	}
	request := web.Request{Method: http.MethodGet, URL: c.URL, Timeout: timeout, MaxBytes: step.MaxFileBytes, Headers: map[string]string{}, Query: map[string]string{}}
	for _, p := range c.Headers {
		request.Headers[p.Name] = p.Value
	}
	for _, p := range c.QueryParams {
		request.Query[p.Name] = p.Value
	}
	answer, err := web.Do(ctx, s.Transport, request)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the host already
	}
	if answer.Status != http.StatusOK {
		return step.Result{}, step.Reasoned("RequestFailed", fmt.Errorf("download to %q: the answer is %d %s", c.OutPath, answer.Status, http.StatusText(answer.Status)))
	}
	sum := sha256.Sum256(answer.Body)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if before := recorded(in); before != "" && before != digest {
		return step.Result{}, step.Terminal("ContentChanged", fmt.Errorf("what is to go to %q is %s now, and was %s when the promotion began; promote again", c.OutPath, digest, before))
	}
	message := fmt.Sprintf("downloaded %d bytes", len(answer.Body))
	return step.Result{Message: message, Output: map[string]any{"digest": digest}}, in.WriteFile(c.OutPath, answer.Body)
}

// recorded is the digest of an earlier run, or "".
func recorded(in step.Input) string {
	var out struct {
		Digest string `json:"digest"`
	}
	if in.Recorded == nil || json.Unmarshal(in.Recorded.Raw, &out) != nil {
		return ""
	}
	return out.Digest
}
