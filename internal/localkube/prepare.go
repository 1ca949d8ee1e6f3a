package localkube

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
)

// adminUser is who the administrator's kubeconfig names.
const adminUser = "waybill-local-admin"

// prepare writes what the programs and their clients read: authorities and keys as far as they are missing, fresh
// certificates, the administrator's kubeconfig, and the kubectl symlink.
func (c *Cluster) prepare() error {
	var err error
	if c.ca, err = loadAuthority(c.pki(""), "ca", c.opts.Now()); err != nil {
		return err
	}
	if err := loadServiceAccountKey(c.pki("sa.key"), c.pki("sa.pub")); err != nil {
		return err
	}
	if err := c.prepareServer(); err != nil {
		return err
	}
	if err := c.prepareEtcd(); err != nil {
		return err
	}
	if err := c.prepareAdmin(); err != nil {
		return err
	}
	if err := os.Remove(c.Kubectl()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(c.opts.Binary, c.Kubectl())
}

func (c *Cluster) prepareServer() error {
	// The first address of the service range is the API server's, as is the name of its Service.
	ips := append(loopbackIPs(), net.IPv4(10, 96, 0, 1))
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	cert, err := c.ca.server("kube-apiserver", names, ips, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, c.opts.Now())
	if err != nil {
		return err
	}
	return c.keep("apiserver", cert)
}

// prepareEtcd gives etcd an authority of its own: every client of the cluster could read and write everything in it
// otherwise.
func (c *Cluster) prepareEtcd() error {
	ca, err := loadAuthority(c.pki(""), "etcd-ca", c.opts.Now())
	if err != nil {
		return err
	}
	// A member is its peers' client, too.
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server, err := ca.server("etcd", []string{"localhost"}, loopbackIPs(), usage, c.opts.Now())
	if err != nil {
		return err
	}
	client, err := ca.client("kube-apiserver", nil, c.opts.Now())
	if err != nil {
		return err
	}
	if c.etcdTLS, err = clientTLS(ca.cert, client); err != nil {
		return err
	}
	return errors.Join(c.keep("etcd", server), c.keep("etcd-client", client))
}

func (c *Cluster) prepareAdmin() error {
	cert, err := c.ca.client(adminUser, []string{"system:masters"}, c.opts.Now())
	if err != nil {
		return err
	}
	if c.admin, err = newAPI(c.Server(), c.ca.cert, cert); err != nil {
		return err
	}
	return newKubeconfig(c.Server(), c.ca.cert, adminUser, cert).write(c.Kubeconfig())
}

// keep writes a certificate and its key to pki/.
func (c *Cluster) keep(name string, p pair) error {
	if err := writeFile(c.pki(name+".key"), p.key, 0o600); err != nil {
		return err
	}
	return writeFile(c.pki(name+".crt"), p.cert, 0o644)
}

func loopbackIPs() []net.IP { return []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} }
