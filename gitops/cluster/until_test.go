package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

func TestUntil(t *testing.T) {
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}}
	for name, tt := range map[string]struct {
		config *rest.Config
		want   time.Time
	}{
		"a certificate":          {certificate, end},
		"a certificate in parts": {&rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}}, time.Time{}},
		"a JWT":                  {&rest.Config{BearerToken: "e30.eyJleHAiOjE3OTg4NTkwNDV9.c2ln"}, end},
		"a JWT for ever":         {&rest.Config{BearerToken: "e30.e30.c2ln"}, time.Time{}},
		"another token":          {&rest.Config{BearerToken: "a.b!.c"}, time.Time{}},
		"no credential":          {&rest.Config{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Until(tt.config); !got.Equal(tt.want) {
				t.Errorf("ends %s, want %s", got, tt.want)
			}
		})
	}
}
