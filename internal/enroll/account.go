package enroll

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Account is the one that Waybill deploys with.
type Account struct {
	// Namespace of the ServiceAccount, which is made when it is not there.
	Namespace string
	// Name of the ServiceAccount, and of what belongs to it.
	Name string
	// ClusterRole it is bound to in the whole cluster: admin, or cluster-admin
	// for a cluster whose cluster-scoped objects Waybill shall deploy too.
	ClusterRole string
}

const (
	fieldManager = "waybill-cluster"
	// requestTime bounds one request, tokenTime the wait for a token.
	requestTime = 30 * time.Second
	tokenTime   = 30 * time.Second
	tokenPause  = 200 * time.Millisecond
	// maxAnswer bounds an answer of the API server.
	maxAnswer = 4 << 20
	// accountAnnotation names the account of a token.
	accountAnnotation = "kubernetes.io/service-account.name"
	tokenType         = "kubernetes.io/service-account-token"
	managedBy         = "app.kubernetes.io/managed-by"
)

// Error is an answer of the API server that is no success.
type Error struct {
	Status int
	// Message as the API server says it.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// api speaks to one API server.
type api struct {
	access *Access
	http   *http.Client
}

func (a *Access) connect() (*api, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.ServerName}
	if len(a.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(a.CA) {
			return nil, fmt.Errorf("%w: the certificate authority is no PEM certificate", ErrKubeconfig)
		}
	}
	if len(a.Cert) > 0 && a.Token == "" {
		pair, err := tls.X509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: client certificate and key cannot be used", ErrKubeconfig)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &api{access: a, http: &http.Client{
		Timeout: requestTime, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// do sends a request and decodes the answer into out, when it is not nil.
func (c *api) do(ctx context.Context, method, path string, query url.Values, contentType string, body, out any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	address := strings.TrimSuffix(c.access.Server, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "waybill")
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.access.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.access.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the cluster: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the cluster's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		var status struct{ Message string }
		if json.Unmarshal(answer, &status) != nil || status.Message == "" {
			status.Message = "the cluster answers " + resp.Status
		}
		return &Error{Status: resp.StatusCode, Message: status.Message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the cluster's answer: %w", err)
	}
	return nil
}

// apply makes an object, or makes it as it should be.
func (c *api) apply(ctx context.Context, path string, object map[string]any) error {
	meta := object["metadata"].(map[string]any) //nolint:forcetypeassert // written below
	meta["labels"] = map[string]string{managedBy: fieldManager}
	err := c.do(ctx, http.MethodPatch, path, url.Values{"fieldManager": {fieldManager}, "force": {"true"}}, "application/apply-patch+yaml", object, nil)
	if err != nil {
		return fmt.Errorf("make %s %q: %w", object["kind"], meta["name"], err)
	}
	return nil
}

func object(apiVersion, kind, namespace, name string, more map[string]any) map[string]any {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	out := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
	for k, v := range more {
		out[k] = v
	}
	return out
}

const rbac = "/apis/rbac.authorization.k8s.io/v1"

// Enroll makes the account, and a new token of it. retire deletes the tokens
// from before: call it when the new one is in use.
func (a *Access) Enroll(ctx context.Context, acc Account) (access *Access, retire func(context.Context) error, err error) {
	c, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	home := "/api/v1/namespaces/" + acc.Namespace
	subject := []any{map[string]any{"kind": "ServiceAccount", "name": acc.Name, "namespace": acc.Namespace}}
	role := func(name string) map[string]any {
		return map[string]any{"subjects": subject, "roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}}
	}
	// roleRef of a binding cannot be changed, so each role has a binding of its own.
	binding := acc.Name + "-" + acc.ClusterRole
	for _, step := range []struct {
		path   string
		object map[string]any
	}{
		{home, object("v1", "Namespace", "", acc.Namespace, nil)},
		{home + "/serviceaccounts/" + acc.Name, object("v1", "ServiceAccount", acc.Namespace, acc.Name, nil)},
		{rbac + "/clusterroles/" + acc.Name, object("rbac.authorization.k8s.io/v1", "ClusterRole", "", acc.Name, map[string]any{"rules": acc.rules()})},
		{rbac + "/clusterrolebindings/" + acc.Name, object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", acc.Name, role(acc.Name))},
		{rbac + "/clusterrolebindings/" + binding, object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", binding, role(acc.ClusterRole))},
	} {
		if err := c.apply(ctx, step.path, step.object); err != nil {
			return nil, nil, err
		}
	}
	before, err := c.tokens(ctx, acc)
	if err != nil {
		return nil, nil, err
	}
	token, err := c.newToken(ctx, acc)
	if err != nil {
		return nil, nil, err
	}
	retire = func(ctx context.Context) error {
		for _, name := range before {
			if err := c.do(ctx, http.MethodDelete, home+"/secrets/"+name, nil, "", nil, nil); err != nil && !isNotFound(err) {
				return fmt.Errorf("delete the old token %q: %w", name, err)
			}
		}
		return nil
	}
	return &Access{Server: a.Server, ServerName: a.ServerName, CA: a.CA, Token: token}, retire, nil
}

// rules are what the roles admin and cluster-admin leave open: Namespaces with
// their quotas, and knowing which kinds there are.
func (acc Account) rules() []any {
	rule := func(group string, resources, verbs []string) any {
		return map[string]any{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
	}
	write := []string{"get", "list", "watch", "create", "patch", "update", "delete"}
	out := []any{
		rule("", []string{"namespaces", "resourcequotas", "limitranges"}, write),
		rule("apiextensions.k8s.io", []string{"customresourcedefinitions"}, []string{"get", "list", "watch"}),
	}
	return out
}

type secretModel struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
		Labels      map[string]string `json:"labels"`
	} `json:"metadata"`
	Type string            `json:"type"`
	Data map[string]string `json:"data"`
}

// tokens lists the Secrets with tokens that Enroll made for the account.
func (c *api) tokens(ctx context.Context, acc Account) ([]string, error) {
	var list struct {
		Items []secretModel `json:"items"`
	}
	query := url.Values{"labelSelector": {managedBy + "=" + fieldManager}, "fieldSelector": {"type=" + tokenType}}
	if err := c.do(ctx, http.MethodGet, "/api/v1/namespaces/"+acc.Namespace+"/secrets", query, "", nil, &list); err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var out []string
	for _, s := range list.Items {
		if s.Metadata.Annotations[accountAnnotation] == acc.Name {
			out = append(out, s.Metadata.Name)
		}
	}
	return out, nil
}

// newToken makes a token that does not expire, and waits until the cluster has
// filled it in.
func (c *api) newToken(ctx context.Context, acc Account) (string, error) {
	path := "/api/v1/namespaces/" + acc.Namespace + "/secrets"
	var made secretModel
	err := c.do(ctx, http.MethodPost, path, url.Values{"fieldManager": {fieldManager}}, "application/json", map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": tokenType,
		"metadata": map[string]any{
			"generateName": acc.Name + "-", "labels": map[string]string{managedBy: fieldManager},
			"annotations": map[string]string{accountAnnotation: acc.Name},
		},
	}, &made)
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTime)
	defer cancel()
	tick := time.NewTicker(tokenPause)
	defer tick.Stop()
	for {
		if err := c.do(ctx, http.MethodGet, path+"/"+made.Metadata.Name, nil, "", nil, &made); err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		if encoded := made.Data["token"]; encoded != "" {
			token, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return "", errors.New("the cluster's token cannot be read")
			}
			return string(token), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the cluster has made no token for %s/%s in %s; is its token controller running?", acc.Namespace, acc.Name, tokenTime)
		case <-tick.C:
		}
	}
}

// Withdraw deletes the account with its tokens and bindings. The Namespace stays.
func (a *Access) Withdraw(ctx context.Context, acc Account) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	for _, path := range []string{
		rbac + "/clusterrolebindings/" + acc.Name,
		rbac + "/clusterrolebindings/" + acc.Name + "-admin",
		rbac + "/clusterrolebindings/" + acc.Name + "-cluster-admin",
		rbac + "/clusterroles/" + acc.Name,
		"/api/v1/namespaces/" + acc.Namespace + "/serviceaccounts/" + acc.Name, // its tokens go with it
	} {
		if err := c.do(ctx, http.MethodDelete, path, nil, "", nil, nil); err != nil && !isNotFound(err) {
			return fmt.Errorf("delete the account of Waybill: %w", err)
		}
	}
	return nil
}
