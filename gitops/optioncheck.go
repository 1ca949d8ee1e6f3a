package gitops

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ReasonInvalidOption is the reason of an object with an annotation about its
// treatment that cannot be followed.
const ReasonInvalidOption = "InvalidOption"

// Options in the annotation sync-options of an object. Those of the second group
// change nothing here: everything is applied on the server's side, nothing that is
// in sync is applied again, and a kind that is not there yet is waited for.
var (
	objectOptions = regexp.MustCompile(`^((Prune|Delete)=(true|false|confirm)|(PruneLast|Replace|Force|Validate)=(true|false)|` +
		`(ServerSideApply|ClientSideApplyMigration|SkipDryRunOnMissingResource|ApplyOutOfSyncOnly|RespectIgnoreDifferences|FailOnSharedResource)=(true|false))$`)
	compareOptions = regexp.MustCompile(`^(IgnoreExtraneous|(ServerSideDiff|IncludeMutationWebhook)=(true|false))$`)
)

// checkAnnotations is CheckOptions of an object. One annotation that is no text, as a
// wave without quotes, keeps all of them from being read.
func checkAnnotations(obj *unstructured.Unstructured) error {
	metadata, _ := obj.Object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	names := slices.Sorted(maps.Keys(annotations))
	if !slices.ContainsFunc(names, func(name string) bool {
		return strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, argoPrefix) || strings.HasPrefix(name, "helm.sh/")
	}) {
		return nil // nothing of ours; what is wrong with them is said of the object
	}
	for _, name := range names {
		if _, isText := annotations[name].(string); !isText {
			return fmt.Errorf("metadata.annotations %q is not a string; put it in quotes", name)
		}
	}
	return CheckOptions(obj.GetAnnotations())
}

// CheckOptions says which annotation about an object's treatment cannot be
// followed: a misspelt Prune=false must not delete anything, nor a misspelt phase
// leave out a migration.
func CheckOptions(annotations map[string]string) error {
	for _, option := range splitList(annotation(annotations, "sync-options")) {
		if name, _, _ := strings.Cut(option, "="); name == "CreateNamespace" || name == "PrunePropagationPolicy" {
			return fmt.Errorf("sync-options %q is an option of the Application; an object cannot set it", option)
		} else if !objectOptions.MatchString(option) {
			return fmt.Errorf("sync-options %q is none; correct the annotation or take it away", option)
		}
	}
	for _, option := range splitList(annotation(annotations, "compare-options")) {
		if !compareOptions.MatchString(option) {
			return fmt.Errorf("compare-options %q is none; correct the annotation or take it away", option)
		}
	}
	for _, h := range splitList(annotation(annotations, "hook")) {
		if !isPhase(HookPhase(h)) {
			return fmt.Errorf("hook %q is no phase; PreSync, Sync, PostSync, SyncFail, PreDelete, PostDelete and Skip are", h)
		}
	}
	for _, d := range splitList(annotation(annotations, "hook-delete-policy")) {
		if !isHookDelete(HookDelete(d)) {
			return fmt.Errorf("hook-delete-policy %q is none; BeforeHookCreation, HookSucceeded and HookFailed are", d)
		}
	}
	if wave := strings.TrimSpace(annotation(annotations, "sync-wave")); wave != "" {
		if _, err := strconv.Atoi(wave); err != nil {
			return fmt.Errorf("sync-wave %q is no whole number", wave)
		}
	}
	return nil
}
