package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SyncRequest asks for one sync. A request with another id is another one, and
// status.lastSync says how the last one ended. Without it, what is automated
// goes on by itself.
//
// Without resources the branch is asked where it is, its head is synced, drift is
// taken back whatever driftPolicy says, and what failed is tried again at once.
// With resources, that is done for these objects only, at the revision the
// Application is held to; no hooks run then.
type SyncRequest struct {
	// id of the request; any text that was not used before.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
	// by is who asks.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by,omitempty"`
	// prune deletes what left the source although syncPolicy.automated.prune is
	// off, and agrees to as many deletions as there are.
	// +optional
	Prune bool `json:"prune,omitempty"`
	// resources to sync; empty: all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Resources []SyncResource `json:"resources,omitempty"`
}

// SyncResource names objects. An empty group or namespace fits any.
type SyncResource struct {
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// SyncResult is how a requested sync went.
type SyncResult struct {
	// id and by of the request.
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By    string         `json:"by,omitempty"`
	Phase OperationPhase `json:"phase"`
	// revision that was synced.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`
	// message says what it waits for, why it failed, or what was left out.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message   string           `json:"message,omitempty"`
	StartedAt metav1.MicroTime `json:"startedAt"`
	// +optional
	FinishedAt *metav1.MicroTime `json:"finishedAt,omitempty"`
}
