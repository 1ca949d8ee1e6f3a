package cluster

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Until returns when the credential of a connection ends by itself: that of its
// client certificate, else of its token when that is a JWT. It is zero when nothing
// says so. Nothing is verified: this only warns.
func Until(config *rest.Config) time.Time {
	if block, _ := pem.Decode(config.CertData); block != nil {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			return certificate.NotAfter.UTC()
		}
		return time.Time{}
	}
	parts := strings.Split(config.BearerToken, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Until int64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Until <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Until, 0).UTC()
}
