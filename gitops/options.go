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
	// SaysPrune and SaysDelete: the object itself says what is to be done, and its
	// Application does not matter.
	SaysPrune, SaysDelete bool
	// PruneLast: once it left the source it is deleted when all that is in the
	// source is well, not already when it is applied.
	PruneLast bool
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
// Helm's hooks are read as well, unless the object carries a hook of ours or of
// Argo CD, its weights unless it carries a wave, and its delete policies always: pre-install and pre-upgrade are PreSync, post-install and
// post-upgrade PostSync, pre-delete and post-delete the like. Its test hooks are
// never run. crd-install is part of the sync.
func OptionsOf(annotations map[string]string, syncOptions []string) ObjectOptions {
	var o ObjectOptions
	o.read(syncOptions)
	o.SaysPrune, o.SaysDelete = false, false
	if len(annotations) == 0 {
		return o
	}
	o.read(splitList(annotation(annotations, "sync-options")))
	for _, option := range splitList(annotation(annotations, "compare-options")) {
		o.IgnoreExtraneous = o.IgnoreExtraneous || option == "IgnoreExtraneous"
	}
	o.IgnoreHealth = annotation(annotations, "ignore-healthcheck") == "true"
	o.readHooks(annotations)
	wave := annotation(annotations, "sync-wave")
	if wave == "" {
		wave = annotations["helm.sh/hook-weight"]
	}
	if n, err := strconv.Atoi(strings.TrimSpace(wave)); err == nil {
		o.Wave = n
	}
	if annotations["helm.sh/resource-policy"] == "keep" {
		o.KeepOnDelete, o.KeepOnPrune = true, true
	}
	return o
}

// readHooks takes in of which phases the object is a hook, and when it is deleted.
func (o *ObjectOptions) readHooks(annotations map[string]string) {
	if hooks := splitList(annotation(annotations, "hook")); len(hooks) > 0 {
		for _, h := range hooks {
			if phase := HookPhase(h); isPhase(phase) && !slices.Contains(o.Hooks, phase) {
				o.Hooks = append(o.Hooks, phase)
			}
		}
		if o.Hooks == nil { // of no phase we know: it runs in none
			o.Hooks = []HookPhase{HookSkip}
		}
	} else {
		o.readHelm(annotations)
	}
	if len(o.Hooks) > 1 { // one of several is enough to run it
		o.Hooks = slices.DeleteFunc(o.Hooks, func(p HookPhase) bool { return p == HookSkip })
	}
	if !o.IsHook() {
		return
	}
	for _, d := range splitList(annotation(annotations, "hook-delete-policy")) {
		if policy := HookDelete(d); isHookDelete(policy) {
			o.HookDelete = append(o.HookDelete, policy)
		}
	}
	for _, d := range splitList(annotations["helm.sh/hook-delete-policy"]) {
		if policy, ok := helmPolicies[d]; ok && !slices.Contains(o.HookDelete, policy) {
			o.HookDelete = append(o.HookDelete, policy)
		}
	}
	if len(o.HookDelete) == 0 {
		o.HookDelete = []HookDelete{DeleteBeforeCreation}
	}
}

// helmPolicies are the names that Helm has for the delete policies of hooks.
var helmPolicies = map[string]HookDelete{
	"before-hook-creation": DeleteBeforeCreation, "hook-succeeded": DeleteSucceeded, "hook-failed": DeleteFailed,
}

// read takes in options of the form NAME=VALUE.
func (o *ObjectOptions) read(options []string) {
	for _, option := range options {
		name, _, _ := strings.Cut(option, "=")
		o.SaysPrune = o.SaysPrune || name == "Prune"
		o.SaysDelete = o.SaysDelete || name == "Delete"
		switch option {
		case "Prune=false":
			o.KeepOnPrune, o.ConfirmPrune = true, false
		case "Prune=confirm":
			o.KeepOnPrune, o.ConfirmPrune = false, true
		case "Prune=true":
			o.KeepOnPrune, o.ConfirmPrune = false, false
		case "Delete=false", "Delete=confirm": // nobody is asked while an Application goes: what is to be asked for stays
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
		case "PruneLast=true":
			o.PruneLast = true
		case "PruneLast=false":
			o.PruneLast = false
		}
	}
}

func isHookDelete(d HookDelete) bool {
	return d == DeleteBeforeCreation || d == DeleteSucceeded || d == DeleteFailed
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
