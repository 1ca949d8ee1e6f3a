package importer

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// secretValues are what a Secret holds. Its values go into Secrets that are written
// and nowhere else.
type secretValues struct {
	data, texts field
}

func valuesOf(o *object) secretValues {
	o.at("type").mark(ignored)
	o.at("immutable").mark(ignored)
	return secretValues{o.at("data"), o.at("stringData")}
}

// peek returns a value without marking it.
func (s secretValues) peek(key string) string {
	if f := s.texts.at(key); f.there() {
		return f.peek()
	}
	f := s.data.at(key)
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(f.peek()))
	if err != nil {
		f.drop("it is no base64")
		return ""
	}
	return string(decoded)
}

// field is where a key is written.
func (s secretValues) field(key string) field {
	if f := s.texts.at(key); f.there() {
		return f
	}
	return s.data.at(key)
}

// text returns a value that is taken as it is.
func (s secretValues) text(key string) string {
	s.field(key).mapped()
	return s.peek(key)
}

// keys are all that there are.
func (s secretValues) keys() []string {
	seen := map[string]bool{}
	for _, f := range []field{s.data, s.texts} {
		for _, e := range f.entries() {
			seen[e.name] = true
		}
	}
	return sortedKeys(seen)
}

// newSecret is a Secret with a label that says what for.
func newSecret(namespace, name, credType string, values map[string]string) map[string]any {
	data := map[string]any{}
	for _, key := range sortedKeys(values) {
		if values[key] != "" {
			data[key] = values[key]
		}
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata":   map[string]any{"name": name, "namespace": namespace, "labels": map[string]any{v1alpha1.LabelCredentialType: credType}},
		"stringData": data,
	}
}

// share lends a Secret of Waybill's own Namespace to Projects.
func share(secret map[string]any, projects []string) {
	secret["metadata"].(map[string]any)["annotations"] = map[string]any{"waybill.dev/shared-with": strings.Join(projects, ",")}
}

// argoCluster is a cluster that Argo CD knows.
type argoCluster struct {
	name, server, project string
	labels, annotations   map[string]string
}

// clusterConfig is the key config of a cluster's Secret.
type clusterConfig struct {
	Username           string          `json:"username"`
	Password           string          `json:"password"`
	BearerToken        string          `json:"bearerToken"`
	AWSAuthConfig      json.RawMessage `json:"awsAuthConfig"`
	ExecProviderConfig json.RawMessage `json:"execProviderConfig"`
	ProxyURL           string          `json:"proxyUrl"`
	DisableCompression bool            `json:"disableCompression"`
	TLSClientConfig    struct {
		Insecure   bool   `json:"insecure"`
		ServerName string `json:"serverName"`
		CAData     string `json:"caData"`
		CertData   string `json:"certData"`
		KeyData    string `json:"keyData"`
	} `json:"tlsClientConfig"`
}

// readClusterSecret reads a cluster of Argo CD into a Cluster with its kubeconfig.
func (i *importing) readClusterSecret(o *object) {
	kind := o.at("metadata", "labels", argoPrefix+"secret-type")
	if kind.peek() != "cluster" {
		return
	}
	o.done = true
	kind.mapped()
	v := valuesOf(o)
	server := strings.TrimSuffix(v.text("server"), "/")
	called := v.text("name")
	if called == "" {
		called = o.report.Name
	}
	name := nameOf(called)
	known := argoCluster{name: called, server: server, project: v.peek("project")}
	known.labels, known.annotations = readMeta(o, nil)
	v.field("project").approximate("which Projects may deploy there is spec.destinations of each")
	v.field("shard").approximate("with --shard, replicas share the clusters by themselves")
	v.field("namespaces").drop("what the account in the kubeconfig may do decides; spec.destinations of each Project says where it may deploy")
	v.field("clusterResources").drop("what the account in the kubeconfig may do decides; spec.kinds of each Project says what it may deploy")
	i.known = append(i.known, known)
	if server == argoOwnServer || name == v1alpha1.InCluster {
		v.field("config").approximate("the cluster that Waybill runs in needs no credentials")
		return
	}
	i.clusters[server] = name
	if called != name {
		v.field("name").approximate("the Cluster is called %q here", name)
	}
	kubeconfig, ok := readConfig(v.field("config"), v.peek("config"), server, name)
	cluster := v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{SecretRef: v1alpha1.ClusterSecret{Name: "cluster-" + name}}}
	cluster.Name, cluster.Labels, cluster.Annotations = name, known.labels, known.annotations
	if ok {
		i.write("Cluster", "", name, &cluster, o)
		i.write("Secret", i.SystemNamespace, "cluster-"+name, newSecret(i.SystemNamespace, "cluster-"+name, "cluster", map[string]string{"kubeconfig": kubeconfig}), o)
	}
}

// readConfig makes a kubeconfig; not when Waybill would refuse it.
func readConfig(f field, text, server, name string) (string, bool) {
	var c clusterConfig
	if json.Unmarshal([]byte(text), &c) != nil {
		f.drop("it is no JSON: register the cluster with waybill cluster add")
		return "", false
	}
	f.mapped()
	user := map[string]any{}
	switch {
	case len(c.AWSAuthConfig) > 0 || len(c.ExecProviderConfig) > 0:
		f.drop("programs that fetch credentials are not run: waybill cluster add %s makes an account in the cluster", name)
		return "", false
	case c.TLSClientConfig.Insecure:
		f.drop("a server whose certificate is not checked is not spoken to: waybill cluster add %s", name)
		return "", false
	case c.ProxyURL != "":
		f.drop("proxyUrl: clusters are reached directly, or through the proxy of the server: waybill cluster add %s", name)
		return "", false
	case c.BearerToken != "":
		user["token"] = c.BearerToken
	case c.TLSClientConfig.CertData != "" && c.TLSClientConfig.KeyData != "":
		user["client-certificate-data"], user["client-key-data"] = c.TLSClientConfig.CertData, c.TLSClientConfig.KeyData
	default:
		f.drop("neither a token nor a client certificate; passwords are not sent: waybill cluster add %s", name)
		return "", false
	}
	cluster := map[string]any{"server": server}
	if c.TLSClientConfig.CAData != "" {
		cluster["certificate-authority-data"] = c.TLSClientConfig.CAData
	}
	if c.TLSClientConfig.ServerName != "" {
		cluster["tls-server-name"] = c.TLSClientConfig.ServerName
	}
	out, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": cluster}},
		"users":    []any{map[string]any{"name": name, "user": user}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	})
	return string(out), err == nil
}

// credentialKeys are keys of Secrets of Argo CD's repositories and of Kargo, by
// our names.
func credentialKeys() map[string]string {
	return map[string]string{
		"url": "repoURL", "repoURL": "repoURL", "repoURLIsRegex": "repoURLIsRegex", "username": "username", "password": "password",
		"sshPrivateKey": "sshPrivateKey", "githubAppID": "githubAppID", "githubAppClientID": "githubAppID",
		"githubAppInstallationID": "githubAppInstallationID", "githubAppPrivateKey": "githubAppPrivateKey",
		"awsAccessKeyID": "awsAccessKeyID", "awsSecretAccessKey": "awsSecretAccessKey",
	}
}

// credentialLosses are keys without a place here.
func credentialLosses() map[string]loss {
	return map[string]loss{
		"type": notNeeded("the label says the type"), "name": notNeeded("a credential is known by its address"),
		"enableOCI": notNeeded("the address says so: oci://"), "forceHttpBasicAuth": notNeeded("user name and password are sent when they are asked for"),
		"depth": notNeeded("a repository is fetched once for all"), "enableLfs": lost("files of Git LFS are not fetched"),
		"insecure": lost("certificates are always checked: put the authority under caCert"), "insecureIgnoreHostKey": lost("host keys are always checked: put the server's under known_hosts"),
		"tlsClientCertData": lost("client certificates are not sent"), "tlsClientCertKey": lost("client certificates are not sent"),
		"proxy": lost("the server's own proxy settings hold for all"), "noProxy": lost("the server's own proxy settings hold for all"),
		"githubAppEnterpriseBaseUrl": notNeeded("the address of the repository says where its server is"),
		"gcpServiceAccountKey":       lost("use provider: gar with the identity the server runs with"), "bearerToken": lost("write it as password, with any username"),
		"useAzureWorkloadIdentity": lost("use provider: acr with the identity the server runs with"),
		"awsRegion":                notNeeded("the address says the region"),
	}
}

// readCredential reads a Secret of a repository: of Argo CD, or of Kargo.
func (i *importing) readCredential(o *object) {
	if o.done {
		return
	}
	labels := o.at("metadata", "labels")
	argo, kargo := labels.at(argoPrefix+"secret-type"), labels.at("kargo.akuity.io/cred-type")
	switch {
	case slices.Contains([]string{"repository", "repo-creds", "repository-write"}, argo.peek()):
		i.readRepository(o, argo)
	case kargo.has() && i.Kargo:
		i.readKargoSecret(o, kargo)
	}
}

func (i *importing) readRepository(o *object, kind field) {
	o.done = true
	kind.mapped()
	v := valuesOf(o)
	readMeta(o, nil)
	credType := "git"
	if t := v.peek("type"); t == "helm" || t == "oci" {
		credType = "chart"
	}
	namespace := i.SystemNamespace
	if p := v.text("project"); p != "" {
		namespace = i.projectName(p)
	}
	values := i.credential(v, "project")
	if credType == "chart" && values["repoURL"] != "" && !strings.Contains(values["repoURL"], "://") {
		values["repoURL"] = "oci://" + values["repoURL"]
	}
	i.writeCredential(o, namespace, credType, values)
}

// credential takes the keys that mean something here.
func (i *importing) credential(v secretValues, taken ...string) map[string]string {
	values := map[string]string{}
	names, losses := credentialKeys(), credentialLosses()
	for _, key := range v.keys() {
		f := v.field(key)
		l, isKnown := losses[key]
		switch {
		case slices.Contains(taken, key):
		case names[key] != "":
			values[names[key]] = v.text(key)
		case !isKnown:
			f.drop("a credential has no such key")
		case v.peek(key) == "" || v.peek(key) == "false":
			f.mapped()
		default:
			f.lose(l.outcome, false, "%s", l.why)
		}
	}
	if values["awsAccessKeyID"] != "" {
		values["provider"] = "ecr"
	}
	return values
}

// writeCredential writes a credential that is one, and shares what is not in a
// Project.
func (i *importing) writeCredential(o *object, namespace, credType string, values map[string]string) {
	switch {
	case values["repoURL"] == "":
		o.add(Dropped, "", "it names no repository", false)
		return
	case values["password"] == "" && values["sshPrivateKey"] == "" && values["githubAppPrivateKey"] == "" && values["provider"] == "" && values["caCert"] == "":
		o.add(Approximated, "", "it holds no credentials: a public repository is read without", false)
		return
	case values["password"] != "" && values["username"] == "":
		values["username"] = "git"
	case values["username"] != "" && values["password"] == "":
		delete(values, "username")
	}
	secret := newSecret(namespace, o.report.Name, credType, values)
	if namespace == i.SystemNamespace {
		share(secret, sortedKeys(i.projects))
		o.add(Approximated, "", "it is shared with the Projects of this import (annotation waybill.dev/shared-with)", false)
	}
	i.write("Secret", namespace, o.report.Name, secret, o)
}
