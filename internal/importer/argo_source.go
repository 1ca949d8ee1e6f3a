package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// sourceLosses are fields of a source of Argo CD without a place here.
func sourceLosses() map[string]loss {
	return map[string]loss{
		"name":                 notNeeded("a source has no name here"),
		"tagPrefix":            changes("a range of versions of tags with a prefix: subscribe a Warehouse to the tags (allowTagsRegexes) and promote"),
		"plugin":               {outcome: Mapped}, // told with its name
		"directory.jsonnet":    changes("Jsonnet: commit what it renders, or use kustomize or Helm"),
		"helm.version":         notNeeded("there is one version of Helm"),
		"helm.passCredentials": notNeeded("credentials are found by the address of each repository"),
		"helm.skipTests":       notNeeded("tests of charts are never run"),
		"helm.fileParameters":  changes("values from files: name the file in valueFiles, or write the value in values"),

		"directory.disableExtensionFilter": changes("only files that end in .yaml, .yml and .json are read"),

		"kustomize.version":                   notNeeded("there is one version of kustomize"),
		"kustomize.forceCommonLabels":         notNeeded("labels replace what the kustomization says"),
		"kustomize.forceCommonAnnotations":    notNeeded("annotations replace what the kustomization says"),
		"kustomize.commonAnnotationsEnvsubst": changes("there are no build variables to substitute; write the values out"),
		"kustomize.kubeVersion":               changes("helmCharts of a kustomization are not rendered here; render the chart by source.chart, or commit what it prints"),
		"kustomize.apiVersions":               changes("helmCharts of a kustomization are not rendered here; render the chart by source.chart, or commit what it prints"),
	}
}

// buildVariable is how Argo CD's variables stand in values.
var buildVariable = regexp.MustCompile(`\$\{?ARGOCD_(APP|ENV)_`)

// revisions that are no branches.
var (
	isCommit  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	isVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?$`)
	isRange   = regexp.MustCompile(`^[\^~<>=!*]|[ ,|*]`)
	mayBe     = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)?(\.x)?$`) // v2: a range, or a branch of that name
)

// readSource reads one source of an Application. refs are the sources that only
// lend files, by their names.
func readSource(f field, refs map[string]field) v1alpha1.ApplicationSource {
	var s v1alpha1.ApplicationSource
	spelled := respell(f)
	if plugin := f.at("plugin"); plugin.there() {
		plugin.block("config management plugin %q: Waybill runs no programs to render; commit what it prints, or use kustomize or Helm", plugin.at("name").peek())
	}
	if !f.as(spelled).into(&s, sourceLosses(), changes("there is no such option of a source here")) {
		return s
	}
	s.RepoURL = address(f.at("repoURL"), s.RepoURL)
	if s.Chart != "" && s.RepoURL != "" && !strings.Contains(s.RepoURL, "://") {
		s.RepoURL = "oci://" + s.RepoURL // Argo CD names OCI registries without a scheme
	}
	if s.Chart == "" && strings.HasPrefix(s.RepoURL, "oci://") {
		f.at("repoURL").block("an OCI artifact that is no chart: commit the manifests, or publish them as a chart")
	}
	if s.Path == "" && s.Chart == "" {
		s.Path = "."
	}
	if s.Chart != "" {
		s.Path = ""
	}
	if !strings.HasPrefix(s.RepoURL, "oci://") {
		readRevision(f, &s)
	}
	if s.Helm != nil {
		readValueFiles(f, s.Helm, refs)
	}
	if text, err := json.Marshal(f.value); err == nil && buildVariable.Match(text) {
		f.block("it uses build variables of Argo CD ($ARGOCD_APP_NAME ...), which are not filled in here; write the values out")
	}
	return s
}

// respell changes what has two spellings in Argo CD, in a copy.
func respell(f field) any {
	var out map[string]any
	if convert(f.value, &out) != nil || out == nil {
		return f.value
	}
	kustomize, _ := out["kustomize"].(map[string]any)
	replicas, _ := kustomize["replicas"].([]any)
	for _, r := range replicas { // count is a number or a text
		if m, isMap := r.(map[string]any); isMap {
			if text, isText := m["count"].(string); isText {
				if n, err := strconv.Atoi(text); err == nil {
					m["count"] = n
				}
			}
		}
	}
	return out
}

// readRevision reads targetRevision, which is a branch here.
func readRevision(f field, s *v1alpha1.ApplicationSource) {
	revision := f.at("targetRevision")
	if s.Chart != "" {
		return // a version or a range, as here
	}
	switch r := s.TargetRevision; {
	case r == "HEAD":
		s.TargetRevision = ""
	case strings.HasPrefix(r, "refs/heads/"):
		s.TargetRevision = strings.TrimPrefix(r, "refs/heads/")
	case isCommit.MatchString(r):
		revision.block("a commit is no branch: make a branch at it, or let a Stage promote commits of a Warehouse")
	case strings.HasPrefix(r, "refs/"), isVersion.MatchString(r):
		revision.block("a tag is no branch: subscribe a Warehouse to the tags (commitSelectionStrategy SemVer) and let a Stage promote them")
	case isRange.MatchString(r):
		revision.block("a range of tags is no branch: subscribe a Warehouse with this constraint and let a Stage promote what it finds")
	case mayBe.MatchString(r):
		revision.approximate("it is taken for a branch; if it is a range of tags, subscribe a Warehouse with this constraint and let a Stage promote what it finds")
	}
}

// readValueFiles maps values files of other sources of the same repository.
func readValueFiles(f field, h *v1alpha1.HelmOptions, refs map[string]field) {
	kept := h.ValueFiles[:0]
	for i, name := range h.ValueFiles {
		file := f.at("helm", "valueFiles").items()[i]
		if strings.Contains(name, "://") {
			file.block("values are read from the repository only; commit the file")
			continue
		}
		if !strings.HasPrefix(name, "$") {
			kept = append(kept, name)
			continue
		}
		ref, path, _ := strings.Cut(strings.TrimPrefix(name, "$"), "/")
		other, known := refs[ref]
		switch {
		case !known:
			file.block("no source is called %q", ref)
		case other.at("repoURL").peek() == f.at("repoURL").peek() && other.at("targetRevision").peek() == f.at("targetRevision").peek():
			kept = append(kept, "/"+path)
		default:
			file.block("values from another repository: put chart and values into one, or the values into values")
		}
	}
	h.ValueFiles = kept
}

// readSources returns what each source that renders becomes, and what to add to
// the Application's name.
func readSources(spec field) (sources []v1alpha1.ApplicationSource, suffixes []string) {
	spec.at("sourceHydrator").block("a Stage commits what it renders to its own branch instead: write a Stage with kustomize-build or helm-template, git-commit and git-push")
	list := spec.at("sources").items()
	if len(list) == 0 {
		if source := spec.at("source"); source.there() {
			if s := readSource(source, nil); isSource(&s) {
				return []v1alpha1.ApplicationSource{s}, []string{""}
			}
		}
		return nil, nil
	}
	spec.at("source").approximate("sources are there: Argo CD does not read source then")
	refs := map[string]field{}
	var renders []field
	for _, s := range list {
		if ref := s.at("ref"); ref.has() {
			refs[ref.peek()] = s
			if !s.at("path").has() && !s.at("chart").has() {
				s.mapped()
				continue
			}
			ref.mapped()
		}
		renders = append(renders, s)
	}
	for i, s := range renders {
		suffix := ""
		if len(renders) > 1 {
			suffix = strconv.Itoa(i + 1)
			if name := nameOf(s.at("name").peek()); name != "" {
				suffix = name
			}
			s.approximate("several sources: this one is an Application of its own, -%s; what two of them render belongs to the first that applies it", suffix)
		}
		read := readSource(withoutRef(s), refs)
		if !isSource(&read) {
			continue
		}
		sources, suffixes = append(sources, read), append(suffixes, suffix)
	}
	return sources, unique(suffixes)
}

// isSource reports whether there is anything that Waybill can render.
func isSource(s *v1alpha1.ApplicationSource) bool {
	return s.RepoURL != "" && (s.Chart != "" || !strings.HasPrefix(s.RepoURL, "oci://"))
}

// withoutRef takes away what only names the source.
func withoutRef(f field) field {
	m, isMap := f.value.(map[string]any)
	if !isMap || m["ref"] == nil {
		return f
	}
	out := make(map[string]any, len(m))
	for name, v := range m {
		if name != "ref" {
			out[name] = v
		}
	}
	return f.as(out)
}

// unique adds a number to what is there twice.
func unique(names []string) []string {
	seen := map[string]bool{}
	out := make([]string, len(names))
	for i, name := range names {
		free := name
		for n := 2; seen[free]; n++ {
			free = fmt.Sprintf("%s-%d", name, n)
		}
		seen[free], out[i] = true, free
	}
	return out
}

// withUser is an address that carries a user name, and perhaps a password.
var withUser = regexp.MustCompile(`^((?:https?|oci)://)[^/@]*@`)

// address returns the address of a repository without user and password, which
// are no part of one here.
func address(f field, repoURL string) string {
	if !withUser.MatchString(repoURL) {
		return repoURL
	}
	f.approximate("user name and password are left out of the address: put them into a credential Secret")
	return withUser.ReplaceAllString(repoURL, "$1")
}
