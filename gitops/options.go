package gitops

import (
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// HookPhase is when a hook runs.
type HookPhase string

// The phases of hooks, in the order in which they run. SyncFail takes the place
// of PostSync when a sync fails.
const (
	HookPreSync    HookPhase = "PreSync"
	HookSync       HookPhase = "Sync"
	HookPostSync   HookPhase = "PostSync"
	HookSyncFail   HookPhase = "SyncFail"
	HookPreDelete  HookPhase = "PreDelete"
	HookPostDelete HookPhase = "PostDelete"
	// HookSkip is an object that is never applied.
	HookSkip HookPhase = "Skip"
)

// HookDelete is when a hook's object is deleted.
type HookDelete string

// The delete policies of hooks. The default is BeforeHookCreation: the object
// stays to be looked at until the hook runs again.
const (
	DeleteBeforeCreation HookDelete = "BeforeHookCreation"
	DeleteSucceeded      HookDelete = "HookSucceeded"
	DeleteFailed         HookDelete = "HookFailed"
)

// ObjectOptions are what annotations of one object, and of its Application, say
// about how it is treated. Every annotation is read under waybill.dev/ and under
// argocd.argoproj.io/; the first wins. The zero value is the default treatment.
type ObjectOptions struct {
	// Wave orders applies and deletions; 0 by default.
	Wave int
	// Hooks are the phases the object is a hook of; nil: it is no hook.
	Hooks []HookPhase
	// HookDelete says when the object of a hook is deleted.
	HookDelete []HookDelete
	// KeepOnPrune: the object stays when it leaves the source. KeepOnDelete: it
	// stays when its Application is deleted. ConfirmPrune: a person has to agree.
	KeepOnPrune, KeepOnDelete, ConfirmPrune bool
	// Replace sends the object as a whole. Force deletes and creates it again when
	// a field of it cannot be changed.
	Replace, Force bool
	// LooseFields does not ask the API server to check fields.
	LooseFields bool
	// IgnoreExtraneous: an object that is not in the source is not out of sync.
	IgnoreExtraneous bool
	// IgnoreHealth leaves the object out of the Application's health.
	IgnoreHealth bool
}

// IsHook says that the object is not part of what runs, but of getting there.
func (o ObjectOptions) IsHook() bool { return len(o.Hooks) > 0 }

// Is says whether the object is a hook of a phase.
func (o ObjectOptions) Is(phase HookPhase) bool { return slices.Contains(o.Hooks, phase) }

// Deletes says whether a hook's object is deleted at a moment.
func (o ObjectOptions) Deletes(when HookDelete) bool { return slices.Contains(o.HookDelete, when) }

// Prefixes under which the annotations are read.
const (
	ownPrefix  = v1alpha1.Group + "/"
	argoPrefix = "argocd.argoproj.io/"
)

// OptionsOf reads the options of an object with these annotations, of an
// Application with these sync options (spec.syncPolicy.syncOptions).
//
// Helm's hooks and weights are read as well, unless the object carries a hook of
// ours or of Argo CD: pre-install and pre-upgrade are PreSync, post-install and
// post-upgrade PostSync, pre-delete and post-delete the like. Its test hooks are
// never run. crd-install is part of the sync.
func OptionsOf(annotations map[string]string, syncOptions []string) ObjectOptions {
	var o ObjectOptions
	o.read(syncOptions)
	if len(annotations) == 0 {
		return o
	}
	o.read(splitList(annotation(annotations, "sync-options")))
	for _, option := range splitList(annotation(annotations, "compare-options")) {
		o.IgnoreExtraneous = o.IgnoreExtraneous || option == "IgnoreExtraneous"
	}
	o.IgnoreHealth = annotation(annotations, "ignore-healthcheck") == "true"
	wave := annotation(annotations, "sync-wave")
	if hooks := splitList(annotation(annotations, "hook")); len(hooks) > 0 {
		for _, h := range hooks {
			if phase := HookPhase(h); isPhase(phase) {
				o.Hooks = append(o.Hooks, phase)
			}
		}
		if o.Hooks == nil { // of no phase we know: it runs in none
			o.Hooks = []HookPhase{HookSkip}
		}
		for _, d := range splitList(annotation(annotations, "hook-delete-policy")) {
			o.HookDelete = append(o.HookDelete, HookDelete(d))
		}
	} else {
		o.readHelm(annotations)
		if wave == "" && o.IsHook() {
			wave = annotations["helm.sh/hook-weight"]
		}
	}
	if o.IsHook() && len(o.HookDelete) == 0 {
		o.HookDelete = []HookDelete{DeleteBeforeCreation}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(wave)); err == nil {
		o.Wave = n
	}
	if annotations["helm.sh/resource-policy"] == "keep" {
		o.KeepOnDelete, o.KeepOnPrune = true, true
	}
	return o
}

// read takes in options of the form NAME=VALUE.
func (o *ObjectOptions) read(options []string) {
	for _, option := range options {
		switch option {
		case "Prune=false":
			o.KeepOnPrune = true
		case "Prune=confirm":
			o.ConfirmPrune = true
		case "Prune=true":
			o.KeepOnPrune, o.ConfirmPrune = false, false
		case "Delete=false":
			o.KeepOnDelete = true
		case "Delete=true":
			o.KeepOnDelete = false
		case "Replace=true":
			o.Replace = true
		case "Replace=false":
			o.Replace = false
		case "Force=true":
			o.Force = true
		case "Force=false":
			o.Force = false
		case "Validate=false":
			o.LooseFields = true
		case "Validate=true":
			o.LooseFields = false
		}
	}
}

func isPhase(p HookPhase) bool {
	switch p {
	case HookPreSync, HookSync, HookPostSync, HookSyncFail, HookPreDelete, HookPostDelete, HookSkip:
		return true
	default:
		return false
	}
}

// readHelm maps the hooks of Helm charts.
func (o *ObjectOptions) readHelm(annotations map[string]string) {
	hooks := splitList(annotations["helm.sh/hook"])
	for _, h := range hooks {
		var phase HookPhase
		switch h {
		case "pre-install", "pre-upgrade":
			phase = HookPreSync
		case "post-install", "post-upgrade":
			phase = HookPostSync
		case "pre-delete":
			phase = HookPreDelete
		case "post-delete":
			phase = HookPostDelete
		case "crd-install":
			continue
		default: // tests and rollbacks of Helm's own
			phase = HookSkip
		}
		if !slices.Contains(o.Hooks, phase) {
			o.Hooks = append(o.Hooks, phase)
		}
	}
	if len(o.Hooks) > 1 { // one of several is enough to run it
		o.Hooks = slices.DeleteFunc(o.Hooks, func(p HookPhase) bool { return p == HookSkip })
	}
	for _, d := range splitList(annotations["helm.sh/hook-delete-policy"]) {
		switch d {
		case "before-hook-creation":
			o.HookDelete = append(o.HookDelete, DeleteBeforeCreation)
		case "hook-succeeded":
			o.HookDelete = append(o.HookDelete, DeleteSucceeded)
		case "hook-failed":
			o.HookDelete = append(o.HookDelete, DeleteFailed)
		}
	}
}

func annotation(annotations map[string]string, name string) string {
	if v, ok := annotations[ownPrefix+name]; ok {
		return v
	}
	return annotations[argoPrefix+name]
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	out := strings.Split(s, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return slices.DeleteFunc(out, func(v string) bool { return v == "" })
}
