package localkube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// api is a client of this package's own API server, with the administrator's certificate.
type api struct {
	server string
	client *http.Client
}

const (
	requestTimeout  = 15 * time.Second
	maxAnswerBytes  = 8 << 20
	maxProblemBytes = 2 << 10 // how much of an answer an error shows
)

func newAPI(server string, ca []byte, client pair) (*api, error) {
	config, err := clientTLS(ca, client)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", server, err)
	}
	return &api{server: server, client: &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
	}}, nil
}

// clientTLS believes the servers of one authority only, and shows them the client's certificate.
func clientTLS(ca []byte, client pair) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("certificate authority: no certificate")
	}
	cert, err := tls.X509KeyPair(client.cert, client.key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// readAPI makes a client from a kubeconfig that this package wrote.
func readAPI(path string) (*api, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var k kubeconfig
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("kubeconfig %q: %w", path, err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return nil, fmt.Errorf("kubeconfig %q: not one that local mode wrote", path)
	}
	cluster, user := k.Clusters[0].Cluster, k.Users[0].User
	return newAPI(cluster.Server, cluster.CA, pair{cert: user.Cert, key: user.Key})
}

// statusError is an answer that is not 2xx.
type statusError struct {
	method, path string
	code         int
	body         string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.method, e.path, e.code, e.body)
}

// do sends body, when it is not nil, and decodes the answer into out, when that is not nil.
// An answer that is not 2xx is a *statusError.
func (a *api) do(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	answer, err := a.raw(ctx, method, path, contentType, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

func (a *api) raw(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, &statusError{method, path, response.StatusCode, string(answer[:min(len(answer), maxProblemBytes)])}
	}
	return answer, nil
}

// apply creates or changes the object at path by server-side apply; manifest is YAML or JSON.
func (a *api) apply(ctx context.Context, path string, manifest []byte) error {
	return a.do(ctx, http.MethodPatch, path+"?fieldManager=waybill-local&force=true", "application/apply-patch+yaml", manifest, nil)
}

func (a *api) close() { a.client.CloseIdleConnections() }
