package tokens

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	// assertionLife is how long an app's assertion holds; GitHub takes at most 10
	// minutes. assertionSkew is for clocks that differ.
	assertionLife = 9 * time.Minute
	assertionSkew = time.Minute
	// installationUser is the user name that GitHub wants with such a token.
	installationUser = "x-access-token"
)

// githubAPI returns the address of the REST API of the GitHub that a repository
// is on.
func githubAPI(repoURL string, allowHTTP bool) (string, error) {
	u, err := url.Parse(strings.TrimSpace(repoURL))
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !allowHTTP) {
		return "", errors.New("a GitHub App signs in over https only")
	}
	host := strings.ToLower(u.Host)
	switch {
	case host == "github.com" || host == "github.com:443":
		return "https://api.github.com", nil
	case strings.HasSuffix(host, ".ghe.com"):
		return "https://api." + host, nil
	default: // GitHub Enterprise Server
		return u.Scheme + "://" + host + "/api/v3", nil
	}
}

// installationToken makes a token of the app's installation.
func (s *Source) installationToken(ctx context.Context, c credentials.Credential, api string) (Password, error) {
	assertion, err := assertion(c.App, s.opts.Now())
	if err != nil {
		return Password{}, err
	}
	address := api + "/app/installations/" + c.App.InstallationID + "/access_tokens"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte("{}")))
	if err != nil {
		return Password{}, errors.New("the address of GitHub's API is not valid")
	}
	req.Header.Set("Authorization", "Bearer "+assertion)
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("Content-Type", "application/json")
	status, body, err := s.call(req, c)
	if err != nil {
		return Password{}, fmt.Errorf("GitHub's API at %s: %w", req.URL.Host, err)
	}
	if status != http.StatusCreated {
		why := fmt.Errorf("GitHub's API at %s answers %d to installation %s of app %s", req.URL.Host, status, c.App.InstallationID, c.App.ID)
		if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound {
			return Password{}, fmt.Errorf("%w: %w; check githubAppID, githubAppInstallationID and githubAppPrivateKey", ErrRefused, why)
		}
		return Password{}, why
	}
	var answer struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" || strings.ContainsAny(answer.Token, "\r\n") || answer.ExpiresAt.IsZero() {
		return Password{}, fmt.Errorf("GitHub's API at %s gives no token", req.URL.Host)
	}
	return Password{Username: installationUser, Value: secret.New(answer.Token), Expires: answer.ExpiresAt}, nil
}

// assertion proves the app for a few minutes: a JWT signed with RS256.
func assertion(app *credentials.GitHubApp, now time.Time) (string, error) {
	key, err := rsaKey(app.PrivateKey.Reveal())
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iat": now.Add(-assertionSkew).Unix(), "exp": now.Add(assertionLife).Unix(), "iss": app.ID,
	})
	if err != nil {
		return "", fmt.Errorf("encode the assertion: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", errors.New("githubAppPrivateKey cannot sign")
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// rsaKey reads a private key as GitHub gives it out (PKCS #1), or as PKCS #8.
func rsaKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("githubAppPrivateKey is not in PEM format")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, isRSA := any.(*rsa.PrivateKey); err == nil && isRSA {
		return key, nil
	}
	return nil, errors.New("githubAppPrivateKey is not an RSA private key")
}

// call sends a request that carries a secret, and returns a bounded answer. Its
// errors name no address that changes and repeat nothing that was sent.
func (s *Source) call(req *http.Request, c credentials.Credential) (int, []byte, error) {
	transport := s.opts.Transport
	if len(c.CACert) > 0 && s.opts.TransportWithCA != nil {
		with, err := s.opts.TransportWithCA(c.CACert)
		if err != nil {
			return 0, nil, errors.New("caCert holds no usable PEM certificate")
		}
		transport = with
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		var network *url.Error
		if errors.As(err, &network) {
			err = network.Err
		}
		return 0, nil, err //nolint:wrapcheck // the caller names the server
	}
	defer func() { _ = res.Body.Close() }()
	body, err := outbound.ReadAll(res.Body, maxAnswerBytes)
	return res.StatusCode, body, err //nolint:wrapcheck // the caller names the server
}
