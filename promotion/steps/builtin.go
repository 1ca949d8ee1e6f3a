// Package steps lists the built-in steps.
package steps

import (
	"net/http"

	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/steps/argocd"
	"github.com/waybill-dev/waybill/promotion/steps/argocdupdate"
	"github.com/waybill-dev/waybill/promotion/steps/argocdwait"
	"github.com/waybill-dev/waybill/promotion/steps/composeoutput"
	"github.com/waybill-dev/waybill/promotion/steps/copytree"
	"github.com/waybill-dev/waybill/promotion/steps/deletepath"
	"github.com/waybill-dev/waybill/promotion/steps/failstep"
	"github.com/waybill-dev/waybill/promotion/steps/filewrite"
	"github.com/waybill-dev/waybill/promotion/steps/gitclear"
	"github.com/waybill-dev/waybill/promotion/steps/gitclone"
	"github.com/waybill-dev/waybill/promotion/steps/gitcommit"
	"github.com/waybill-dev/waybill/promotion/steps/gitmergepr"
	"github.com/waybill-dev/waybill/promotion/steps/gitopenpr"
	"github.com/waybill-dev/waybill/promotion/steps/gitpush"
	"github.com/waybill-dev/waybill/promotion/steps/gitrevert"
	"github.com/waybill-dev/waybill/promotion/steps/gittag"
	"github.com/waybill-dev/waybill/promotion/steps/gitwaitforpr"
	"github.com/waybill-dev/waybill/promotion/steps/helmtemplate"
	"github.com/waybill-dev/waybill/promotion/steps/helmupdatechart"
	"github.com/waybill-dev/waybill/promotion/steps/httpdownload"
	"github.com/waybill-dev/waybill/promotion/steps/httprequest"
	"github.com/waybill-dev/waybill/promotion/steps/jsonparse"
	"github.com/waybill-dev/waybill/promotion/steps/jsonupdate"
	"github.com/waybill-dev/waybill/promotion/steps/kustomizebuild"
	"github.com/waybill-dev/waybill/promotion/steps/kustomizesetimage"
	"github.com/waybill-dev/waybill/promotion/steps/oci"
	"github.com/waybill-dev/waybill/promotion/steps/ocidownload"
	"github.com/waybill-dev/waybill/promotion/steps/ocipush"
	"github.com/waybill-dev/waybill/promotion/steps/pulls"
	"github.com/waybill-dev/waybill/promotion/steps/runjob"
	"github.com/waybill-dev/waybill/promotion/steps/sendmessage"
	"github.com/waybill-dev/waybill/promotion/steps/setfreightalias"
	"github.com/waybill-dev/waybill/promotion/steps/setmetadata"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/tarstep"
	"github.com/waybill-dev/waybill/promotion/steps/tomlparse"
	"github.com/waybill-dev/waybill/promotion/steps/tomlupdate"
	"github.com/waybill-dev/waybill/promotion/steps/untarstep"
	"github.com/waybill-dev/waybill/promotion/steps/waitforapproval"
	"github.com/waybill-dev/waybill/promotion/steps/yamlmerge"
	"github.com/waybill-dev/waybill/promotion/steps/yamlparse"
	"github.com/waybill-dev/waybill/promotion/steps/yamlupdate"
)

// Dependencies are what the built-in steps need besides their Input.
type Dependencies struct {
	// Author of commits.
	Author git.Identity
	// Transport of http steps: it refuses addresses that a Stage's author has no
	// business with.
	Transport http.RoundTripper
	// Charts renders Helm charts.
	Charts render.Charts
	// Archives downloads charts from their repositories.
	Archives helmupdatechart.Charts
	// Artifacts reads and writes OCI registries.
	Artifacts oci.Artifacts
	// ArgoCD reads and writes Applications of Argo CD.
	ArgoCD *argocd.Applications
	// Objects are the Stages and Freight of Projects.
	Objects Objects
	// PullRequests speak with providers.
	PullRequests pulls.Clients
	// Plans describe what a promotion changes, for the text of pull requests.
	Plans gitopenpr.Describer
	// Jobs run in the clusters of Stages.
	Jobs runjob.Jobs
	// Messages sends messages; the zero value sends none.
	Messages message.Sender
	// Clock says which approvals have expired.
	Clock clock.PassiveClock
}

// Objects is what steps read and write of the Project's own objects.
type Objects interface {
	setmetadata.Metadata
	setfreightalias.Aliases
	waitforapproval.Approvals
}

// Builtin returns every built-in step by the name templates use.
func Builtin(d Dependencies) map[string]step.Step {
	return map[string]step.Step{
		"argocd-update":       argocdupdate.Step{Applications: d.ArgoCD},
		"argocd-wait":         argocdwait.Step{Applications: d.ArgoCD},
		"compose-output":      composeoutput.Step{},
		"copy":                copytree.Step{},
		"delete":              deletepath.Step{},
		"fail":                failstep.Step{},
		"file-write":          filewrite.Step{},
		"git-clear":           gitclear.Step{},
		"git-clone":           gitclone.Step{},
		"git-commit":          gitcommit.Step{Author: d.Author},
		"git-merge-pr":        gitmergepr.Step{Clients: d.PullRequests},
		"git-open-pr":         gitopenpr.Step{Clients: d.PullRequests, Plans: d.Plans},
		"git-push":            gitpush.Step{},
		"git-revert":          gitrevert.Step{},
		"git-tag":             gittag.Step{Tagger: d.Author},
		"git-wait-for-pr":     gitwaitforpr.Step{Clients: d.PullRequests},
		"json-parse":          jsonparse.Step{},
		"kustomize-build":     kustomizebuild.Step{},
		"kustomize-set-image": kustomizesetimage.Step{},
		"toml-parse":          tomlparse.Step{},
		"toml-update":         tomlupdate.Step{},
		"yaml-parse":          yamlparse.Step{},
		"yaml-update":         yamlupdate.Step{},
		"helm-template":       helmtemplate.Step{Charts: d.Charts, Dependencies: helmupdatechart.Step{Archives: d.Archives}},
		"helm-update-chart":   helmupdatechart.Step{Archives: d.Archives},
		"http":                httprequest.Step{Transport: d.Transport},
		"http-download":       httpdownload.Step{Transport: d.Transport},
		"json-update":         jsonupdate.Step{},
		"run-job":             runjob.Step{Jobs: d.Jobs},
		"oci-download":        ocidownload.Step{Artifacts: d.Artifacts},
		"oci-push":            ocipush.Step{Artifacts: d.Artifacts},
		"send-message":        sendmessage.Step{Sender: d.Messages},
		"set-freight-alias":   setfreightalias.Step{Aliases: d.Objects},
		"set-metadata":        setmetadata.Step{Metadata: d.Objects},
		"tar":                 tarstep.Step{},
		"untar":               untarstep.Step{},
		"wait-for-approval":   waitforapproval.Step{Approvals: d.Objects, Clock: d.Clock},
		"yaml-merge":          yamlmerge.Step{},
	}
}
