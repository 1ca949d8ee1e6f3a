// Package steps lists the built-in steps.
package steps

import (
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/copytree"
	"github.com/waybill-dev/waybill/promotion/steps/gitclear"
	"github.com/waybill-dev/waybill/promotion/steps/gitclone"
	"github.com/waybill-dev/waybill/promotion/steps/gitcommit"
	"github.com/waybill-dev/waybill/promotion/steps/gitpush"
	"github.com/waybill-dev/waybill/promotion/steps/gitrevert"
	"github.com/waybill-dev/waybill/promotion/steps/kustomizesetimage"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Dependencies are what the built-in steps need besides their Input.
type Dependencies struct {
	// Author of commits.
	Author git.Identity
}

// Builtin returns every built-in step by the name templates use.
func Builtin(d Dependencies) map[string]step.Step {
	return map[string]step.Step{
		"copy":                copytree.Step{},
		"git-clear":           gitclear.Step{},
		"git-clone":           gitclone.Step{},
		"git-commit":          gitcommit.Step{Author: d.Author},
		"git-push":            gitpush.Step{},
		"git-revert":          gitrevert.Step{},
		"kustomize-set-image": kustomizesetimage.Step{},
	}
}
