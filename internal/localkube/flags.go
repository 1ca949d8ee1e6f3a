package localkube

import (
	"fmt"
	"path/filepath"
	"strings"
)

// etcdFlags: a single member that only the holder of a certificate of etcd's own authority can talk to.
func (c *Cluster) etcdFlags() []string {
	client := fmt.Sprintf("https://%s:%d", loopback, c.ports.Etcd)
	peer := fmt.Sprintf("https://%s:0", loopback) // nobody joins; etcd insists on listening
	flags := []string{
		"--name=waybill",
		"--data-dir=" + filepath.Join(c.opts.DataDir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=waybill=" + peer,
		"--client-cert-auth", "--peer-client-cert-auth",
		"--trusted-ca-file=" + c.pki("etcd-ca.crt"), "--peer-trusted-ca-file=" + c.pki("etcd-ca.crt"),
		"--cert-file=" + c.pki("etcd.crt"), "--peer-cert-file=" + c.pki("etcd.crt"),
		"--key-file=" + c.pki("etcd.key"), "--peer-key-file=" + c.pki("etcd.key"),
		"--log-level=warn",
		// A single member still waits for an election before it serves; by default that is up to a second.
		"--heartbeat-interval=50", "--election-timeout=250",
		"--snapshot-count=1000", // the raft log is kept in memory between snapshots; one member needs little of it
		"--quota-backend-bytes=2147483648",
	}
	if !c.opts.Fsync {
		flags = append(flags, "--unsafe-no-fsync")
	}
	return flags
}

func (c *Cluster) apiServerFlags() []string {
	return []string{
		"--bind-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", c.ports.API),
		// The Service "kubernetes" gets no endpoint: a loopback address is not allowed there, and no Pod here calls it.
		"--advertise-address=" + loopback, "--endpoint-reconciler-type=none",
		fmt.Sprintf("--etcd-servers=https://%s:%d", loopback, c.ports.Etcd),
		"--etcd-cafile=" + c.pki("etcd-ca.crt"),
		"--etcd-certfile=" + c.pki("etcd-client.crt"), "--etcd-keyfile=" + c.pki("etcd-client.key"),
		"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"),
		"--client-ca-file=" + c.pki("ca.crt"),
		"--anonymous-auth=false",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction", // besides the default ones
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki("sa.pub"), "--service-account-signing-key-file=" + c.pki("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged", // Nodes here run nothing; a manifest that asks for it is not refused
		"--profiling=false",
	}
}

// housekeepers are the controllers without which objects cannot be deleted, or lack what every client expects.
func housekeepers() []string {
	return strings.Fields(`namespace-controller garbage-collector-controller serviceaccount-controller
		serviceaccount-token-controller root-ca-certificate-publisher-controller clusterrole-aggregation-controller
		validatingadmissionpolicy-status-controller resourcequota-controller
		persistentvolumeclaim-protection-controller persistentvolume-protection-controller`)
}

// workloadControllers make Pods out of workloads, and keep Nodes and Services up to date. Left out is what has
// nothing to do on Nodes without machines: volumes, certificates, addresses, autoscaling.
func workloadControllers() []string {
	return strings.Fields(`deployment-controller replicaset-controller statefulset-controller daemonset-controller
		job-controller cronjob-controller ttl-after-finished-controller pod-garbage-collector-controller
		disruption-controller endpoints-controller endpointslice-controller node-lifecycle-controller`)
}

func (c *Cluster) controllerManagerFlags(kubeconfig string) []string {
	controllers := housekeepers()
	if c.opts.Workloads {
		controllers = append(controllers, workloadControllers()...)
	}
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + strings.Join(controllers, ","),
		"--use-service-account-credentials", // as in a real cluster: each controller is subject to its own role
		"--service-account-private-key-file=" + c.pki("sa.key"), "--root-ca-file=" + c.pki("ca.crt"),
		"--leader-elect=false", // the data directory's lock sees to it that there is one
		"--secure-port=0",
		// kwok renews no leases: with the usual 50 s every Pod would turn NotReady then, and stay so.
		"--node-monitor-grace-period=24h",
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--profiling=false",
	}
}

func (c *Cluster) schedulerFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--profiling=false",
	}
}

func (c *Cluster) kwokFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--manage-all-nodes=true",
		"--cidr=10.244.0.0/16",
		"--node-ip=" + loopback,
		"-v=WARN",
	}
}

func (c *Cluster) pki(file string) string { return filepath.Join(c.opts.DataDir, "pki", file) }
