package enroll

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	config := func(cluster, user string) string {
		return "current-context: c\ncontexts: [{name: c, context: {cluster: a, user: b}}, {name: d, context: {cluster: a, user: none}}]\n" +
			"clusters: [{name: a, cluster: {server: 'https://west.example.com:6443', " + cluster + "}}]\nusers: [{name: b, user: {" + user + "}}]\n"
	}
	files := map[string]string{"/etc/kube/ca.crt": "CA", "/etc/token": "from-file"}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	west := "https://west.example.com:6443"
	for _, tc := range []struct {
		name, data, context string
		want                *Access
		wantErr             string
	}{
		{"token", config("certificate-authority-data: "+b64("CA"), "token: T"), "", &Access{Server: west, CA: []byte("CA"), Token: "T"}, ""},
		{"files beside it", config("certificate-authority: ca.crt, tls-server-name: w", "tokenFile: /etc/token"), "c", &Access{Server: west, ServerName: "w", CA: []byte("CA"), Token: "from-file"}, ""},
		{"certificate", config("", "client-certificate-data: "+b64("C")+", client-key-data: "+b64("K")), "", &Access{Server: west, Cert: []byte("C"), Key: []byte("K")}, ""},
		{"a program", config("", "exec: {command: aws}"), "", nil, "waybill runs no programs"},
		{"a plugin", config("", "auth-provider: {name: gcp}"), "", nil, "waybill runs no programs"},
		{"a password", config("", "username: u, password: hunter2"), "", nil, "waybill runs no programs"},
		{"unchecked certificate", config("insecure-skip-tls-verify: true", "token: T"), "", nil, "insecure-skip-tls-verify"},
		{"a proxy", config("proxy-url: 'http://p'", "token: T"), "", nil, "proxy"},
		{"plain http", strings.Replace(config("", "token: T"), "https:", "http:", 1), "", nil, "no https URL"},
		{"nobody", config("", ""), "", nil, "neither a token"},
		{"half a certificate", config("", "client-certificate-data: "+b64("C")), "", nil, "neither a token"},
		{"no such context", config("", "token: T"), "x", nil, `no context "x"`},
		{"no such user", config("", "token: T"), "d", nil, `no user "none"`},
		{"a file that is not there", config("certificate-authority: nothing.crt", "token: T"), "", nil, "certificate-authority"},
		{"no YAML", "\t:", "", nil, "not YAML"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Read(Source{Data: []byte(tc.data), Dir: "/etc/kube", Context: tc.context, ReadFile: read})
			if tc.wantErr != "" {
				if !errors.Is(err, ErrKubeconfig) || !strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Fatal(diff)
			}
			written, err := got.Kubeconfig()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Read(Source{Data: written})
			if diff := cmp.Diff(got, again); err != nil || diff != "" {
				t.Fatalf("%v %s", err, diff)
			}
		})
	}
}
