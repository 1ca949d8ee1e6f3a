package v1alpha1

// WebhookReceiver is for one sender.
// +kubebuilder:validation:XValidation:rule="[has(self.github), has(self.gitlab), has(self.gitea), has(self.bitbucket), has(self.azure), has(self.dockerhub), has(self.quay), has(self.harbor), has(self.ecr), has(self.artifactory), has(self.generic)].filter(x, x).size() == 1",message="set one sender, such as github: {secretRef: {name: NAME}}"
type WebhookReceiver struct {
	// name of the receiver.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// github: push, package. The secret is that of the webhook.
	// +optional
	GitHub *WebhookReceiverConfig `json:"github,omitempty"`
	// gitlab: push, tag push. The secret is the webhook's secret token.
	// +optional
	GitLab *WebhookReceiverConfig `json:"gitlab,omitempty"`
	// gitea, and Forgejo: push, create, package. The secret is that of the
	// webhook.
	// +optional
	Gitea *WebhookReceiverConfig `json:"gitea,omitempty"`
	// bitbucket Cloud and Data Center: push. The secret is that of the webhook.
	// +optional
	Bitbucket *WebhookReceiverConfig `json:"bitbucket,omitempty"`
	// azure DevOps and Container Registry: push. They cannot sign: the secret
	// makes the path.
	// +optional
	Azure *WebhookReceiverConfig `json:"azure,omitempty"`
	// dockerhub cannot sign: the secret makes the path.
	// +optional
	DockerHub *WebhookReceiverConfig `json:"dockerhub,omitempty"`
	// quay cannot sign: the secret makes the path.
	// +optional
	Quay *WebhookReceiverConfig `json:"quay,omitempty"`
	// harbor: artifact pushed. The secret is the webhook's auth header.
	// +optional
	Harbor *WebhookReceiverConfig `json:"harbor,omitempty"`
	// ecr: Image Action by an EventBridge API destination. The secret is the API
	// key of its connection, in the header X-Api-Key.
	// +optional
	ECR *WebhookReceiverConfig `json:"ecr,omitempty"`
	// artifactory: docker pushed. The secret signs the payload.
	// +optional
	Artifactory *ArtifactoryReceiver `json:"artifactory,omitempty"`
	// generic: JSON of any sender.
	// +optional
	Generic *GenericReceiver `json:"generic,omitempty"`
}

// SecretReference names a Secret in the same Namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// WebhookReceiverConfig is what most senders need.
type WebhookReceiverConfig struct {
	// secretRef names a Secret in the Project's Namespace with the label
	// waybill.dev/cred-type: webhook and a key secret of at least 16 characters.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// ArtifactoryReceiver is for JFrog Artifactory.
type ArtifactoryReceiver struct {
	// secretRef as for the other senders.
	// +required
	SecretRef SecretReference `json:"secretRef"`
	// virtualRepoName is the repository that images are pulled from, when it is
	// not the one they are pushed to.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VirtualRepoName string `json:"virtualRepoName,omitempty"`
}

// How a generic sender proves itself.
const (
	// WebhookAuthToken: the header Authorization is Bearer and the secret.
	WebhookAuthToken = "Token"
	// WebhookAuthHMAC: the header X-Hub-Signature-256 is sha256= and the hex
	// HMAC-SHA256 of the body.
	WebhookAuthHMAC = "HMAC"
	// WebhookAuthNone: it cannot; the path is all there is.
	WebhookAuthNone = "None"
)

// GenericReceiver is for any sender of JSON.
type GenericReceiver struct {
	// secretRef as for the other senders.
	// +required
	SecretRef SecretReference `json:"secretRef"`
	// authentication says how the sender proves itself: Token (the header
	// Authorization: Bearer SECRET), HMAC (the header X-Hub-Signature-256, as
	// GitHub makes it) or None (the path alone).
	// +optional
	// +kubebuilder:default=Token
	// +kubebuilder:validation:Enum=Token;HMAC;None
	Authentication string `json:"authentication,omitempty"`
	// when, if set, must be true of body and header(NAME) for anything to
	// happen: body.action == 'pushed'.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	When string `json:"when,omitempty"`
	// repoURLs is an expression for the address that was pushed to, or a list of
	// them: body.repository.url. https, ssh and user@host:path are Git; https is
	// a chart repository, too; without a scheme it is an image.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	RepoURLs string `json:"repoURLs"`
}

// WebhookReceiverStatus says where a receiver listens.
type WebhookReceiverStatus struct {
	// name of the receiver.
	Name string `json:"name"`
	// path to send to, below the address of Waybill. It is as good as a password
	// for senders that cannot sign.
	// +optional
	Path string `json:"path,omitempty"`
	// url to send to, when Waybill knows its own address.
	// +optional
	URL string `json:"url,omitempty"`
	// error says why it does not listen; empty when it does.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Error string `json:"error,omitempty"`
}
