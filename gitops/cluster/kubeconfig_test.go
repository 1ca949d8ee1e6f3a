package cluster_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/gitops/cluster"
)

func config(clusterFields, userFields string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: west, user: waybill}}, {name: other, context: {cluster: x, user: y}}]
clusters: [{name: west, cluster: {%s}}]
users: [{name: waybill, user: {%s}}]
`, clusterFields, userFields)
}

func TestReadKubeconfig(t *testing.T) {
	ca := base64.StdEncoding.EncodeToString([]byte("ca"))
	got, err := cluster.ReadKubeconfig([]byte(config("server: 'https://west.example.com:6443', tls-server-name: kubernetes, certificate-authority-data: "+ca, "token: secret")))
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != "https://west.example.com:6443" || got.ServerName != "kubernetes" || string(got.CAData) != "ca" || got.BearerToken != "secret" {
		t.Errorf("%+v", got)
	}
	if got.ExecProvider != nil || got.AuthProvider != nil || got.BearerTokenFile != "" || got.Insecure {
		t.Error("more was taken than data")
	}
}

func TestReadKubeconfigRefuses(t *testing.T) {
	const server = "server: 'https://west.example.com'"
	for name, c := range map[string]struct{ text, want string }{
		"a program":             {config(server, "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, id]}"), `"exec"`},
		"a plugin":              {config(server, "auth-provider: {name: gcp}"), `"auth-provider"`},
		"a token file":          {config(server, "tokenFile: /var/run/secrets/token"), `"tokenFile"`},
		"a key file":            {config(server, "client-certificate: /a, client-key: /b"), `"client-certificate, client-key"`},
		"a CA file":             {config(server+", certificate-authority: /etc/ca", "token: x"), `"certificate-authority"`},
		"unchecked TLS":         {config(server+", insecure-skip-tls-verify: true", "token: x"), `"insecure-skip-tls-verify"`},
		"a proxy":               {config(server+", proxy-url: 'http://evil'", "token: x"), `"proxy-url"`},
		"a password":            {config(server, "username: a, password: hunter2"), `"password, username"`},
		"somebody else":         {config(server, "token: x, as: admin"), `"as"`},
		"plain http":            {config("server: 'http://west.example.com'", "token: x"), "https"},
		"the metadata service":  {config("server: 'https://169.254.169.254'", "token: x"), "link-local"},
		"user information":      {config("server: 'https://a:b@west.example.com'", "token: x"), "user information"},
		"nobody":                {config(server, ""), "neither a token"},
		"half a certificate":    {config(server, "client-key-data: aGVsbG8="), "go together"},
		"what is no base64":     {config(server, "client-key-data: '%%', client-certificate-data: '%%'"), "base64"},
		"what is no kubeconfig": {"[]", "form of a kubeconfig"},
		"an unknown context":    {"current-context: x\n", "current-context"},
		"too much":              {strings.Repeat("#", 300<<10), "larger"},
	} {
		_, err := cluster.ReadKubeconfig([]byte(c.text))
		if !errors.Is(err, cluster.ErrKubeconfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has a password", name)
		}
	}
	// What is off is as if it were not there.
	if _, err := cluster.ReadKubeconfig([]byte(config(server+", insecure-skip-tls-verify: false", "token: x"))); err != nil {
		t.Error(err)
	}
}

func FuzzReadKubeconfig(f *testing.F) {
	f.Add(config("server: 'https://x'", "token: y"))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := cluster.ReadKubeconfig([]byte(text))
		if err == nil && (c.ExecProvider != nil || c.AuthProvider != nil || c.Insecure || c.CAFile+c.CertFile+c.KeyFile+c.BearerTokenFile+c.Password != "" || !strings.HasPrefix(strings.ToLower(c.Host), "https://")) {
			t.Errorf("%+v", c)
		}
	})
}
