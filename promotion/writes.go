package promotion

import (
	"path"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Write is a branch that a Stage's promotions write.
type Write struct {
	RepoURL, Branch string
	// Path of the working tree in the workspace; empty for the short form and
	// for pull requests.
	Path string
	// IsCleared says that the branch's content is replaced as a whole.
	IsCleared bool
	// ByPullRequest: the branch is changed by merging a pull request.
	ByPullRequest bool
}

// cloneConfig and the others are what the planner needs to know of the steps
// that say where a template writes.
type cloneConfig struct {
	RepoURL  string           `json:"repoURL"`
	Checkout []checkoutConfig `json:"checkout"`
}

type checkoutConfig struct {
	Branch string `json:"branch"`
	Path   string `json:"path"`
}

// Writes returns the branches that a Stage's promotions write, as far as its
// definition alone says so, in the order in which they are written.
func Writes(stage *v1alpha1.Stage) []Write {
	if m := stage.Spec.PromotionMechanisms; m != nil {
		out := make([]Write, 0, len(m.GitRepoUpdates))
		for _, u := range m.GitRepoUpdates {
			out = append(out, Write{RepoURL: u.RepoURL, Branch: u.WriteBranch})
		}
		return out
	}
	if stage.Spec.PromotionTemplate == nil {
		return nil
	}
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Spec.Stage = stage.Namespace, stage.Name
	p.Status.Plan = &v1alpha1.PromotionPlan{Vars: templateVars(stage)}
	for _, s := range stage.Spec.PromotionTemplate.Spec.Steps {
		p.Status.Plan.Steps = append(p.Status.Plan.Steps, v1alpha1.PlanStep{Uses: s.Uses, As: s.As, Vars: s.Vars, Config: s.Config})
	}
	return PlannedWrites(p)
}

// Home returns the branch that a Stage runs from unless its deploy entries say
// otherwise: the first of the short form, the last of a template, which may push
// a branch before it merges that. writes is not empty.
func Home(writes []Write) Write {
	if writes[0].Path == "" && !writes[0].ByPullRequest {
		return writes[0]
	}
	return writes[len(writes)-1]
}

// PlannedWrites is Writes for a Promotion with a plan.
func PlannedWrites(p *v1alpha1.Promotion) []Write {
	var out []Write
	trees := map[string]Write{} // by cleaned path
	cleared := map[string]bool{}
	for i := range p.Status.Plan.Steps {
		s := &p.Status.Plan.Steps[i]
		switch s.Uses {
		case "git-clone":
			var c cloneConfig
			if !Static(p, i, &c, "repoURL", "checkout") {
				continue
			}
			for _, co := range c.Checkout {
				trees[path.Clean(co.Path)] = Write{RepoURL: c.RepoURL, Branch: co.Branch, Path: path.Clean(co.Path)}
			}
		case "git-clear":
			var c struct {
				Path string `json:"path"`
			}
			if Static(p, i, &c, "path") {
				cleared[path.Clean(c.Path)] = true
			}
		case "git-push":
			var c struct {
				Path                 string `json:"path"`
				TargetBranch         string `json:"targetBranch"`
				GenerateTargetBranch bool   `json:"generateTargetBranch"`
				Tag                  string `json:"tag"`
			}
			if !Static(p, i, &c, "path", "targetBranch", "generateTargetBranch", "tag") || c.GenerateTargetBranch || c.Tag != "" {
				continue
			}
			w, known := trees[path.Clean(c.Path)]
			if !known {
				continue
			}
			if c.TargetBranch != "" {
				w.Branch = c.TargetBranch
			}
			w.IsCleared = cleared[w.Path]
			if w.Branch != "" {
				out = append(out, w)
			}
		case "git-open-pr":
			var c struct {
				RepoURL      string `json:"repoURL"`
				TargetBranch string `json:"targetBranch"`
			}
			if Static(p, i, &c, "repoURL", "targetBranch") {
				out = append(out, Write{RepoURL: c.RepoURL, Branch: c.TargetBranch, ByPullRequest: true})
			}
		}
	}
	return out
}

// AwaitedPulls returns the repositories of pull requests that a Promotion waits
// for.
func AwaitedPulls(p *v1alpha1.Promotion) []string {
	if p.Status.Phase != v1alpha1.PhaseRunning || p.Status.Plan == nil {
		return nil
	}
	var out []string
	for i := range min(len(p.Status.Steps), len(p.Status.Plan.Steps)) {
		uses := p.Status.Plan.Steps[i].Uses
		if p.Status.Steps[i].State != v1alpha1.StepWaiting || uses != "git-wait-for-pr" && uses != "git-merge-pr" {
			continue
		}
		var c struct {
			RepoURL string `json:"repoURL"`
		}
		if Static(p, i, &c, "repoURL") {
			out = append(out, c.RepoURL)
		}
	}
	return out
}
