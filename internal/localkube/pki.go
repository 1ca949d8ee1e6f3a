package localkube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife is how long one start may last before its certificates expire: every start issues new ones.
	leafLife = 3 * 365 * 24 * time.Hour
	// clockSlack allows for a clock that was set back a little.
	clockSlack = time.Hour
)

// pair is a certificate with its private key, both as PEM.
type pair struct {
	cert, key []byte
}

// authority signs certificates.
type authority struct {
	pair
	parsed *x509.Certificate
	signer *ecdsa.PrivateKey
}

// loadAuthority reads the authority kept in dir under name, or makes one and keeps it there. One that expires
// before a new leaf would is replaced: then clients of the old one need their kubeconfig written again.
func loadAuthority(dir, name string, now time.Time) (*authority, error) {
	certFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	a, err := readAuthority(certFile, keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case now.Add(leafLife).Before(a.parsed.NotAfter):
		return a, nil
	}
	a, err = newAuthority("waybill local "+name, now)
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without its key would be an error for ever.
	if err := writeFile(keyFile, a.key, 0o600); err != nil {
		return nil, err
	}
	return a, writeFile(certFile, a.cert, 0o644)
}

func readAuthority(certFile, keyFile string) (*authority, error) {
	var a authority
	var err error
	if a.cert, err = os.ReadFile(certFile); err != nil {
		return nil, err
	}
	if a.key, err = os.ReadFile(keyFile); err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(a.cert)
	keyBlock, _ := pem.Decode(a.key)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("certificate authority %q: not PEM: remove it to have a new one", certFile)
	}
	if a.parsed, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, fmt.Errorf("certificate authority %q: %w", certFile, err)
	}
	if a.signer, err = x509.ParseECPrivateKey(keyBlock.Bytes); err != nil {
		return nil, fmt.Errorf("certificate authority %q: private key: %w", keyFile, err)
	}
	return &a, nil
}

func newAuthority(name string, now time.Time) (*authority, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certPEM, parsed, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &authority{pair: pair{cert: certPEM, key: keyPEM}, parsed: parsed, signer: key}, nil
}

// server issues a certificate for a server that is reached by the given names and addresses.
func (a *authority) server(name string, dns []string, ips []net.IP, usage []x509.ExtKeyUsage, now time.Time) (pair, error) {
	return a.leaf(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    dns,
		IPAddresses: ips,
		ExtKeyUsage: usage,
	}, now)
}

// client issues a certificate for a user: Kubernetes takes the user from the common name and the groups from the
// organisations (https://kubernetes.io/docs/reference/access-authn-authz/authentication/).
func (a *authority) client(user string, groups []string, now time.Time) (pair, error) {
	return a.leaf(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
}

func (a *authority) leaf(template *x509.Certificate, now time.Time) (pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return pair{}, err
	}
	template.NotBefore, template.NotAfter = now.Add(-clockSlack), now.Add(leafLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certPEM, _, err := sign(template, a.parsed, key, a.signer)
	return pair{cert: certPEM, key: keyPEM}, err
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make private key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make private key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, *x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate for %q: %w", template.Subject.CommonName, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate for %q: %w", template.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), parsed, nil
}

// loadServiceAccountKey makes sure that the key which signs service-account tokens exists; tokens stay valid as
// long as it does.
func loadServiceAccountKey(keyFile, publicFile string) error {
	if keyPEM, err := os.ReadFile(keyFile); err == nil {
		block, _ := pem.Decode(keyPEM)
		if block == nil {
			return fmt.Errorf("service-account key %q: not PEM: remove it to have a new one", keyFile)
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("service-account key %q: %w", keyFile, err)
		}
		return writePublicKey(publicFile, &key.PublicKey)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	return writePublicKey(publicFile, &key.PublicKey)
}

func writePublicKey(file string, key *ecdsa.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fmt.Errorf("service-account public key: %w", err)
	}
	return writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}

// writeFile replaces a file in one step: a reader, or a kill, sees the old or the new content.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
