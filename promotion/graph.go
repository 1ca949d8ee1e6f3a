package promotion

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// Cycle returns the names of Stages that form a cycle through stage, starting
// and ending with it, or nil when there is none.
func Cycle(stage string, stages []v1alpha1.Stage) []string {
	upstream := map[string][]string{}
	for i := range stages {
		upstream[stages[i].Name] = UpstreamOf(&stages[i])
	}
	visited := map[string]bool{}
	var walk func(at string, path []string) []string
	walk = func(at string, path []string) []string {
		for _, up := range upstream[at] {
			if up == stage {
				return append(append([]string(nil), path...), stage)
			}
			if !visited[up] {
				visited[up] = true
				if found := walk(up, append(path, up)); found != nil {
					return found
				}
			}
		}
		return nil
	}
	return walk(stage, []string{stage})
}

// UpstreamOf returns the upstream Stages a Stage names, each once, sorted.
func UpstreamOf(s *v1alpha1.Stage) []string {
	seen := map[string]struct{}{}
	for _, r := range s.Spec.RequestedFreight {
		for _, up := range r.Sources.Stages {
			seen[up] = struct{}{}
		}
	}
	return sortedKeys(seen)
}

// Problem is a fault of a Stage's definition that only shows beside the other
// objects of its Project.
type Problem struct {
	// Reason is a word for programs: StageCycle, UnknownWarehouse ...
	Reason string
	// Message says what is wrong and what to change.
	Message string
}

// Reasons of a Stage's Ready condition that say its definition cannot run.
const (
	ReasonStageCycle       = "StageCycle"
	ReasonUnknownWarehouse = "UnknownWarehouse"
	ReasonUnknownStage     = "UnknownStage"
	ReasonSharedPath       = "SharedPath"
	ReasonPolicyMissing    = "PolicyMissing"
)

// CheckStage returns the problems of the Stage's definition, most serious
// first; nil when it can run. warehouses are the names in the Project, tasks its
// PromotionTasks.
func CheckStage(stage *v1alpha1.Stage, stages []v1alpha1.Stage, warehouses []string, tasks []v1alpha1.PromotionTask) []Problem {
	var out []Problem
	if c := Cycle(stage.Name, stages); c != nil {
		out = append(out, Problem{ReasonStageCycle, fmt.Sprintf("Stages wait for each other: %s; remove one of them from sources.stages", strings.Join(c, " <- "))})
	}
	known := map[string]bool{}
	for _, w := range warehouses {
		known[w] = true
	}
	for i, r := range stage.Spec.RequestedFreight {
		if !known[r.Origin.Name] {
			out = append(out, Problem{ReasonUnknownWarehouse, fmt.Sprintf("spec.requestedFreight[%d].origin.name: no Warehouse %q in Project %q; create it or correct the name", i, r.Origin.Name, stage.Namespace)})
		}
	}
	names := map[string]bool{}
	for i := range stages {
		names[stages[i].Name] = true
	}
	for _, up := range UpstreamOf(stage) {
		if !names[up] {
			out = append(out, Problem{ReasonUnknownStage, fmt.Sprintf("spec.requestedFreight names upstream Stage %q, which is not in Project %q; create it or correct the name", up, stage.Namespace)})
		}
	}
	out = append(out, CheckUpdates(stage)...)
	if p := overlap(stage, stages); p != nil {
		out = append(out, *p)
	}
	out = append(out, CheckForEach(stage)...)
	out = append(out, CheckTemplate(stage, tasks)...)
	return append(out, checkProblems(stage)...)
}

// CheckUpdates finds entries of the short form that write one branch, also when
// its repository is spelled differently, and texts whose expressions cannot be
// read.
func CheckUpdates(stage *v1alpha1.Stage) []Problem {
	var out []Problem
	if stage.Spec.PromotionMechanisms == nil {
		return nil
	}
	updates := stage.Spec.PromotionMechanisms.GitRepoUpdates
	for i, u := range updates {
		at := fmt.Sprintf("spec.promotionMechanisms.gitRepoUpdates[%d]", i)
		texts := map[string]string{at + ".commitMessage": u.CommitMessage}
		if u.PullRequest != nil {
			texts[at+".pullRequest.title"], texts[at+".pullRequest.description"] = u.PullRequest.Title, u.PullRequest.Description
		}
		for _, field := range slices.Sorted(maps.Keys(texts)) {
			if err := checkExpressions(texts[field], false, nil, nil, nil); err != nil {
				out = append(out, Problem{ReasonInvalidExpression, fmt.Sprintf("%s: %v", field, err)})
			}
		}
		for k, v := range updates[:i] {
			if u.WriteBranch == v.WriteBranch && IsSameRepository(u.RepoURL, v.RepoURL) {
				out = append(out, Problem{ReasonSharedPath, fmt.Sprintf("%s writes branch %q of %s like gitRepoUpdates[%d]; join them into one", at, u.WriteBranch, u.RepoURL, k)})
			}
		}
	}
	return out
}

// overlap finds another Stage that writes the same path of the same branch, or
// one inside the other.
func overlap(stage *v1alpha1.Stage, stages []v1alpha1.Stage) *Problem {
	others := append([]v1alpha1.Stage(nil), stages...)
	sort.Slice(others, func(i, j int) bool { return others[i].Name < others[j].Name })
	for i := range others {
		if others[i].Name == stage.Name {
			continue
		}
		for _, mine := range places(stage) {
			for _, theirs := range places(&others[i]) {
				if mine.meets(theirs) {
					return &Problem{ReasonSharedPath, fmt.Sprintf("Stage %q also writes path %q of branch %q of %s; give each Stage its own branch or path", others[i].Name, theirs.path, mine.branch, mine.repoURL)}
				}
			}
		}
	}
	return nil
}

// place is a folder that a Stage writes.
type place struct {
	repoURL, branch, path string
	// inPlace: the branch that is read is the one that is written, so that
	// only files of the folder itself are edited. Otherwise the folder is
	// replaced with all that is in it.
	inPlace bool
}

// places returns where a Stage writes, in byte order of the paths. Of a
// promotionTemplate that edits a branch in place nobody knows which files.
func places(s *v1alpha1.Stage) []place {
	var out []place
	if s.Spec.PromotionMechanisms == nil {
		for _, w := range Writes(s) {
			if w.IsCleared {
				out = append(out, place{w.RepoURL, w.Branch, ".", false})
			}
		}
		return out
	}
	for _, u := range s.Spec.PromotionMechanisms.GitRepoUpdates {
		for _, p := range writtenPaths(u) {
			out = append(out, place{u.RepoURL, u.WriteBranch, p, u.ReadBranch == u.WriteBranch})
		}
	}
	return out
}

// meets reports whether writing one place changes what the other wrote.
func (a place) meets(b place) bool {
	if a.branch != b.branch || !IsSameRepository(a.repoURL, b.repoURL) {
		return false
	}
	return a.path == b.path || !a.inPlace && isWithin(b.path, []string{a.path}) || !b.inPlace && isWithin(a.path, []string{b.path})
}

// IsSameRepository reports whether two addresses, however they are spelled,
// name one repository.
func IsSameRepository(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := repourl.Normalize(a)
	y, errY := repourl.Normalize(b)
	return errX == nil && errY == nil && x == y
}

// IsSharedBranch reports whether only this Stage's paths may change on the
// branch: it is also the branch that is read, or another Stage writes it.
func IsSharedBranch(stage *v1alpha1.Stage, u v1alpha1.GitRepoUpdate, readBranch string, stages []v1alpha1.Stage) bool {
	return readBranch == u.WriteBranch || isWrittenByOthers(stage, u.RepoURL, u.WriteBranch, stages)
}

// OwnsBranch reports whether all that is on a branch is the Stage's: its
// promotions replace the content as a whole, and no other Stage writes it.
func OwnsBranch(stage *v1alpha1.Stage, repoURL, branch string, stages []v1alpha1.Stage) bool {
	if isWrittenByOthers(stage, repoURL, branch, stages) {
		return false
	}
	for _, w := range Writes(stage) {
		if w.Branch == branch && IsSameRepository(w.RepoURL, repoURL) && w.IsCleared {
			return true
		}
	}
	return false
}

// isWrittenByOthers reports whether another Stage writes the branch, too.
func isWrittenByOthers(stage *v1alpha1.Stage, repoURL, branch string, stages []v1alpha1.Stage) bool {
	for i := range stages {
		if stages[i].Name == stage.Name {
			continue
		}
		for _, w := range Writes(&stages[i]) {
			if w.Branch == branch && IsSameRepository(w.RepoURL, repoURL) {
				return true
			}
		}
	}
	return false
}
