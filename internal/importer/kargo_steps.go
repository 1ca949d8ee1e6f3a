package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/stepschema"
)

// step is one step of a template in the making.
type step struct {
	field
	out    v1alpha1.PromotionStep
	config map[string]any
	// removed: a deploy entry does it, or there is none like it.
	removed bool
}

// nearest are what to use in the place of steps that are not there.
func nearest(uses string) string {
	switch {
	case uses == "get-user-input":
		return "wait-for-approval asks people"
	case uses == "record-audit-event":
		return "the audit trail has every promotion by itself"
	case strings.HasPrefix(uses, "jira"), strings.HasPrefix(uses, "snow-"), strings.HasPrefix(uses, "gh-"), uses == "jfrog-evidence", strings.HasPrefix(uses, "gha-"):
		return "the step http speaks to its API, run-job runs its program"
	case strings.HasPrefix(uses, "tf-"), uses == "hcl-update":
		return "run-job runs the program"
	case uses == "git-overwrite":
		return "git-clear and copy do the same"
	case strings.HasPrefix(uses, "helm-update-image"):
		return "yaml-update sets values"
	default:
		return "run-job runs any program"
	}
}

// readSteps reads the steps of a template or a task.
func readSteps(f field) []*step {
	var out []*step
	for _, item := range f.items() {
		s := &step{field: item}
		if !item.into(&s.out, map[string]loss{"config": {outcome: Mapped}}, changes("a step has no such field here")) {
			continue
		}
		s.out.If = translateText(item.at("if"), s.out.If)
		for n := range s.out.Vars {
			s.out.Vars[n].Value = translateText(item.at("vars").items()[n].at("value"), s.out.Vars[n].Value)
		}
		if s.out.Task != nil {
			if s.out.Task.Kind == "ClusterPromotionTask" {
				item.at("task", "kind").approximate("the task is copied into each Project that calls it")
			}
		} else {
			s.readConfig()
		}
		out = append(out, s)
	}
	return out
}

// readConfig reads the configuration of a built-in step against the schema of ours.
func (s *step) readConfig() {
	config, _ := s.at("config").value.(map[string]any)
	if convert(config, &s.config) != nil {
		s.at("config").block("it cannot be read")
		return
	}
	if s.out.Uses == "github-push" {
		s.out.Uses = "git-push"
		s.at("uses").approximate("git-push pushes; commits are signed by the key of author.signingKey")
	}
	if s.out.Uses == "helm-update-image" {
		s.updateImages()
	}
	schema := stepschema.Of(s.out.Uses)
	if schema == nil {
		s.removed = true
		s.block("there is no step %q: %s", s.out.Uses, nearest(s.out.Uses))
		return
	}
	s.fromSteps()
	if s.out.Uses == "git-commit" && s.config["message"] == nil && s.config != nil {
		s.config["message"] = "${{ ctx.stage }}: ${{ ctx.promotion }}"
		s.at("config").approximate("a commit has a message: it names the Stage and the promotion")
	}
	s.config, _ = translate(s.at("config"), s.config).(map[string]any)
	for {
		problems := schema.Check(s.config, true)
		at := slices.IndexFunc(problems, func(p stepschema.Problem) bool { return strings.HasPrefix(p.Message, "there is no such field") })
		if at < 0 {
			return
		}
		path := problems[at].Path
		value, removed := removePath(s.config, path)
		if !removed {
			return
		}
		if isEmpty(value) {
			continue
		}
		l, known := stepLosses()[s.out.Uses+"."+withoutIndexes(path)]
		if !known {
			l = changes("the step " + s.out.Uses + " has no such setting")
		}
		where := s.at("config").below(s.at("config").path+"."+path, true)
		where.lose(l.outcome, l.changes, "%s", l.why)
	}
}

// stepLosses are settings of steps without a place here.
func stepLosses() map[string]loss {
	caCert := lost("certificates are always checked: put the authority under caCert of the credential Secret")
	origin := notNeeded("images and charts are found by their repository")
	return map[string]loss{
		"git-clone.insecureSkipTLSVerify":   caCert,
		"git-clone.recurseSubmodules":       changes("submodules are not fetched"),
		"git-clone.checkout[].tag":          changes("a branch or a commit is checked out: commit: ${{ commitFrom(...).ID }}"),
		"git-clone.checkout[].fromFreight":  changes("write commit: ${{ commitFrom(repoURL).ID }}"),
		"git-clone.checkout[].fromOrigin":   origin,
		"git-commit.author.signingKey":      changes("git-clone takes the key: author.signingKey"),
		"git-push.force":                    changes("nothing is ever forced: a lost race is replayed"),
		"git-push.maxRevisions":             notNeeded("commits are pushed as they are"),
		"git-push.insecureSkipTLSVerify":    caCert,
		"git-tag.force":                     changes("a tag is never moved"),
		"git-open-pr.insecureSkipTLSVerify": caCert, "git-wait-for-pr.insecureSkipTLSVerify": caCert, "git-merge-pr.insecureSkipTLSVerify": caCert,
		"git-open-pr.createTargetBranch":          notNeeded("the target branch has to be there; Kargo never made it either"),
		"http.insecureSkipTLSVerify":              caCert,
		"http-download.insecureSkipTLSVerify":     caCert,
		"http.proxy":                              lost("the server's own proxy settings hold for all"),
		"http.bodyFromFile":                       changes("write the text in body"),
		"kustomize-build.plugin":                  changes("helmCharts of a kustomization are not rendered: use helm-template"),
		"kustomize-set-image.images[].fromOrigin": origin, "kustomize-set-image.images[].useDigest": changes("write pin: Digest"),
		"helm-update-chart.charts[].fromOrigin":                   origin,
		"argocd-update.apps[].sources[].helm.images[].fromOrigin": origin,
		"argocd-update.apps[].sources[].fromOrigin":               origin,
	}
}

// fromSteps writes what Kargo called ...FromStep up to v1.2 as expressions.
func (s *step) fromSteps() {
	for old, now := range map[string][2]string{
		"prNumberFromStep":     {"prNumber", "${{ outputs['%s'].pr.id }}"},
		"sourceBranchFromStep": {"sourceBranch", "${{ outputs['%s'].branch }}"},
		"targetBranchFromStep": {"targetBranch", "${{ outputs['%s'].branch }}"},
	} {
		if alias, isText := s.config[old].(string); isText && s.config[now[0]] == nil {
			s.config[now[0]] = fmt.Sprintf(now[1], alias)
			delete(s.config, old)
		}
	}
	if from, has := s.config["messageFromSteps"].([]any); has && s.config["message"] == nil {
		var parts []string
		for _, alias := range from {
			parts = append(parts, fmt.Sprintf("${{ outputs['%v'].commitMessage }}", alias))
		}
		s.config["message"] = strings.Join(parts, "\n")
		delete(s.config, "messageFromSteps")
	}
	if s.out.Uses == "argocd-update" {
		for _, app := range anyList(s.config["apps"]) {
			m, _ := app.(map[string]any)
			for _, source := range anyList(m["sources"]) {
				one, _ := source.(map[string]any)
				if alias, isText := one["desiredCommitFromStep"].(string); isText {
					one["desiredRevision"] = fmt.Sprintf("${{ outputs['%s'].commit }}", alias)
					delete(one, "desiredCommitFromStep")
				}
			}
		}
	}
}

// updateImages writes helm-update-image, which Kargo had up to v1.1, as yaml-update.
func (s *step) updateImages() {
	values := map[string]string{
		"Tag": "${{ %s.Tag }}", "Digest": "${{ %s.Digest }}",
		"ImageAndTag": "${{ %[1]s.RepoURL }}:${{ %[1]s.Tag }}", "ImageAndDigest": "${{ %[1]s.RepoURL }}@${{ %[1]s.Digest }}",
	}
	var updates []any
	for _, image := range anyList(s.config["images"]) {
		m, _ := image.(map[string]any)
		format, known := values[fmt.Sprint(m["value"])]
		if !known {
			return
		}
		updates = append(updates, map[string]any{"key": m["key"], "value": fmt.Sprintf(format, fmt.Sprintf("imageFrom('%v')", m["image"]))})
	}
	s.config = map[string]any{"path": s.config["path"], "updates": updates}
	s.out.Uses = "yaml-update"
	s.at("uses").approximate("yaml-update sets the same values")
}

var (
	expressions = regexp.MustCompile(`(?s)\$\{\{.*?\}\}|\$\{%.*?%\}`)
	prNumber    = regexp.MustCompile(`(outputs(?:\.[\w-]+|\[['"][^'"\]]+['"]\]))\.prNumber\b`)
	secretField = regexp.MustCompile(`\bsecrets\.([\w-]+)`)
	secretIndex = regexp.MustCompile(`\bsecrets\[(['"][^'"\]]+['"])\]`)
	ofTarget    = regexp.MustCompile(`\btarget\.(params|labels|name)\b(\.\w+|\[[^\]]*\])*`)
)

// translateText writes the expressions of a text as Waybill reads them.
func translateText(f field, text string) string {
	return expressions.ReplaceAllStringFunc(text, func(e string) string {
		if ofTarget.MatchString(e) {
			f.block("there are no Targets: spec.deploy with forEach has a destination for each")
			e = ofTarget.ReplaceAllString(e, "'?'")
		}
		e = prNumber.ReplaceAllString(e, "$1.pr.id")
		e = secretField.ReplaceAllString(e, "secret('$1')")
		return secretIndex.ReplaceAllString(e, "secret($1)")
	})
}

// translate writes all texts of a value so.
func translate(f field, v any) any {
	switch v := v.(type) {
	case string:
		return translateText(f, v)
	case map[string]any:
		for _, name := range sortedKeys(v) {
			v[name] = translate(f.at(name), v[name])
		}
	case []any:
		for n := range v {
			v[n] = translate(f, v[n])
		}
	}
	return v
}

// removePath takes a field out of a value, and returns it: apps[0].sources[1].x.
func removePath(v any, path string) (any, bool) {
	head, rest, deeper := strings.Cut(path, ".")
	name, index, isItem := strings.Cut(head, "[")
	m, isMap := v.(map[string]any)
	if !isMap {
		return nil, false
	}
	if !isItem {
		if deeper {
			return removePath(m[name], rest)
		}
		value, has := m[head]
		delete(m, head)
		return value, has
	}
	at := m[name]
	for _, i := range strings.Split(strings.TrimSuffix(index, "]"), "][") {
		list, n := anyList(at), -1
		if _, err := fmt.Sscanf(i, "%d", &n); err != nil || n < 0 || n >= len(list) {
			return nil, false
		}
		at = list[n]
	}
	if !deeper {
		return nil, false
	}
	return removePath(at, rest)
}

var indexes = regexp.MustCompile(`\[[0-9]+\]`)

func withoutIndexes(path string) string { return indexes.ReplaceAllString(path, "[]") }

// writeSteps returns the steps that stay. Where something is lost that a promotion
// did, it does nothing until somebody has looked at it.
func writeSteps(steps []*step, of *object) []v1alpha1.PromotionStep {
	var out []v1alpha1.PromotionStep
	text, _ := jsonText(of.raw)
	shifted := false
	for n, s := range steps {
		if s.removed {
			shifted = true
			continue
		}
		if shifted && s.out.As == "" && s.out.Task == nil && strings.Contains(text, "step-") {
			s.out.As = fmt.Sprintf("step-%d", n) // as it was counted before
		}
		if s.out.Task != nil {
			s.out.Task.Kind = "PromotionTask"
		}
		if s.config != nil {
			if raw, err := json.Marshal(s.config); err == nil {
				s.out.Config = &runtime.RawExtension{Raw: raw}
			}
		}
		out = append(out, s.out)
	}
	if of.changes() {
		stop := v1alpha1.PromotionStep{Uses: "fail", Config: &runtime.RawExtension{Raw: []byte(`{"message":"imported from Kargo with losses: look at what the comments above this object say, then remove this step"}`)}}
		out = append([]v1alpha1.PromotionStep{stop}, out...)
		of.add(Approximated, "", "something is lost that a promotion did: its first step is now fail; remove it when you have looked at what is dropped", false)
	}
	return out
}
