package render

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/kio"
)

// maxKustomizations bounds how many kustomizations one build visits, each way of reaching one counted: a diamond of
// twenty levels would be a million.
const maxKustomizations = 2_000

// preflight reads every kustomization that kustomize would read and refuses what must not happen: references that
// leave the repository, Helm, and configuration that cannot be judged before it runs.
type preflight struct {
	tree       *tree
	visits     map[string]int // kustomizations visited from a folder on; 0 while it is being visited
	customized bool           // some kustomization sets openapi, which is state of the whole process
}

// folder checks the kustomization of a folder and everything it includes, and returns how many kustomizations that is.
func (p *preflight) folder(folder string) (int, error) {
	if visits, known := p.visits[folder]; known {
		if visits == 0 {
			return 0, &Error{File: folder, Err: fmt.Errorf("%w: the kustomization includes itself", ErrKustomize)}
		}
		return visits, nil
	}
	p.visits[folder] = 0
	file, ambiguous := findKustomization(p.tree, folder)
	switch {
	case ambiguous:
		return 0, &Error{File: folder, Err: fmt.Errorf("%w: more than one kustomization file", ErrInvalid)}
	case file == "":
		return 0, &Error{File: folder, Err: fmt.Errorf("%w: folder holds no kustomization file", ErrKustomize)}
	}
	content, err := p.tree.read(file)
	if err != nil {
		return 0, err
	}
	if err := p.tree.checkYAML(file, content); err != nil {
		return 0, err
	}
	var k types.Kustomization
	if err := k.Unmarshal(content); err != nil {
		return 0, &Error{File: file, Err: fmt.Errorf("%w: %s", ErrInvalid, quoteKustomize(err))}
	}
	visits, err := p.kustomization(file, folder, &k)
	if err != nil {
		return 0, err
	}
	if visits > maxKustomizations {
		return 0, &Error{File: file, Err: fmt.Errorf("%w: includes more than %d kustomizations", ErrTooLarge, maxKustomizations)}
	}
	p.visits[folder] = visits
	return visits, nil
}

// kustomization checks every field of k that kustomize reads a path from.
func (p *preflight) kustomization(file, folder string, k *types.Kustomization) (visits int, err error) {
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 || k.HelmGlobals != nil {
		return 0, &Error{File: file, Field: "helmCharts", Err: fmt.Errorf("%w: Helm charts inside a kustomization", ErrUnsupported)}
	}
	if len(k.OpenAPI) > 0 {
		p.customized = true
	}
	for _, ref := range references(k) {
		if err := p.reference(file, ref); err != nil {
			return 0, err
		}
		if name := clean(path.Join(folder, ref.value)); strings.HasPrefix(ref.field, "configMapGenerator") && name != "" && p.tree.isFile(name) && p.tree.isEncrypted(name) {
			return 0, &Error{File: file, Field: ref.field, Err: fmt.Errorf("%w: it would go into a ConfigMap, which plans show; use secretGenerator", ErrDecryption)}
		}
	}
	visits = 1
	for _, list := range []struct {
		field string
		paths []string
	}{{"resources", k.Resources}, {"bases", k.Bases}, {"components", k.Components}} {
		for i, name := range list.paths {
			target := clean(path.Join(folder, name))
			if target == "" || path.IsAbs(name) {
				return 0, &Error{File: file, Field: fmt.Sprintf("%s[%d]", list.field, i), Err: fmt.Errorf("%w: %q", ErrRemoteReference, name)}
			}
			if !p.tree.isDir(target) {
				continue // a file, or nothing: kustomize says so
			}
			below, err := p.folder(target)
			if err != nil {
				return 0, err
			}
			visits += below
		}
	}
	for _, list := range []struct {
		field   string
		configs []string
	}{{"generators", k.Generators}, {"transformers", k.Transformers}, {"validators", k.Validators}} {
		for i, config := range list.configs {
			if err := p.plugin(file, folder, fmt.Sprintf("%s[%d]", list.field, i), config); err != nil {
				return 0, err
			}
		}
	}
	return visits, nil
}

// ref is one path written in a kustomization.
type ref struct{ field, value string }

// references returns every path that kustomize loads on behalf of k. Generators, transformers and validators may
// also be written inline; plugin looks at those.
func references(k *types.Kustomization) []ref {
	var out []ref
	list := func(field string, values []string) {
		for i, value := range values {
			out = append(out, ref{fmt.Sprintf("%s[%d]", field, i), value})
		}
	}
	list("resources", k.Resources)
	list("bases", k.Bases)
	list("components", k.Components)
	list("crds", k.Crds)
	list("configurations", k.Configurations)
	if schema, ok := k.OpenAPI["path"]; ok {
		out = append(out, ref{"openapi.path", schema})
	}
	for i, patch := range k.Patches {
		out = append(out, ref{fmt.Sprintf("patches[%d].path", i), patch.Path})
	}
	for i, patch := range k.PatchesJson6902 {
		out = append(out, ref{fmt.Sprintf("patchesJson6902[%d].path", i), patch.Path})
	}
	for i, patch := range k.PatchesStrategicMerge {
		if !strings.Contains(string(patch), "\n") { // else it is the patch itself
			out = append(out, ref{fmt.Sprintf("patchesStrategicMerge[%d]", i), string(patch)})
		}
	}
	for i, replacement := range k.Replacements {
		out = append(out, ref{fmt.Sprintf("replacements[%d].path", i), replacement.Path})
	}
	sources := func(field string, s types.KvPairSources) {
		for i, source := range s.FileSources {
			out = append(out, ref{fmt.Sprintf("%s.files[%d]", field, i), afterKey(source)})
		}
		list(field+".envs", s.EnvSources)
		out = append(out, ref{field + ".env", s.EnvSource})
	}
	for i, g := range k.ConfigMapGenerator {
		sources(fmt.Sprintf("configMapGenerator[%d]", i), g.KvPairSources)
	}
	for i, g := range k.SecretGenerator {
		sources(fmt.Sprintf("secretGenerator[%d]", i), g.KvPairSources)
	}
	return out
}

// afterKey returns the path of a file source, which is written "path" or "key=path".
func afterKey(source string) string {
	if _, file, ok := strings.Cut(source, "="); ok {
		return file
	}
	return source
}

// reference refuses a path that kustomize would fetch or clone.
func (p *preflight) reference(file string, r ref) error {
	if isRemote(r.value) {
		return &Error{File: file, Field: r.field, Err: fmt.Errorf("%w: %q; copy it into the repository", ErrRemoteReference, withoutUserInfo(r.value))}
	}
	return nil
}

// isRemote says whether kustomize would take value for a URL or a Git repository. It says so of more values than
// kustomize does (loader.IsRemoteFile, git.NewRepoSpecFromURL), never of fewer.
func isRemote(value string) bool {
	if strings.Contains(value, "://") || beginsRemote(value) {
		return true
	}
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// beginsRemote says whether value begins like a repository kustomize clones. What follows does not matter: even text of
// many lines is cloned when it begins so.
func beginsRemote(value string) bool {
	return regexp.MustCompile(`(?i)^\s*(git::|(https?|ssh|file)://|github\.com[/:]|[a-z][a-z0-9-]*@)`).MatchString(value)
}

// withoutUserInfo shortens a reference for a message: credentials in it, and everything after a query, stay out.
func withoutUserInfo(value string) string {
	value = oneLine(value)
	if scheme, rest, ok := strings.Cut(value, "://"); ok {
		if host := strings.IndexAny(rest, "/?#"); strings.Contains(rest[:max(host, 0)], "@") || host < 0 && strings.Contains(rest, "@") {
			end := len(rest)
			if host >= 0 {
				end = host
			}
			rest = rest[strings.LastIndex(rest[:end], "@")+1:]
		}
		value = scheme + "://" + rest
	}
	value, _, _ = strings.Cut(value, "?")
	return value
}

// pathFields are the keys under which kustomize's built-in generators and transformers name files, in lower case.
func pathFields() []string {
	return []string{"path", "paths", "file", "files", "env", "envs", "targetfilepath", "valuesfile", "additionalvaluesfiles", "repo", "charthome", "confighome", "argsfromfile"}
}

// plugin checks one entry of generators, transformers or validators: the configuration itself, or a file of it.
// A folder would be built first and could write its references while it is, after they were checked; it is refused.
//
// The text is read with kustomize's own reader, because two readers that disagree on where a document ends would let
// one of them see what the other did not.
func (p *preflight) plugin(file, folder, field, config string) error {
	isInline := strings.Contains(strings.TrimSpace(config), "\n") // and may have addresses somewhere in it
	if beginsRemote(config) || !isInline && isRemote(config) {
		return p.reference(file, ref{field, config})
	}
	name := clean(path.Join(folder, config))
	if name != "" && p.tree.isDir(name) {
		return &Error{File: file, Field: field, Err: fmt.Errorf("%w: a folder in place of a configuration file", ErrUnsupported)}
	}
	content := []byte(config)
	if name != "" && p.tree.isFile(name) {
		var err error
		if content, err = p.tree.read(name); err != nil {
			return err
		}
		file, field = name, ""
	}
	if err := p.tree.checkYAML(file, content); err != nil {
		return err
	}
	nodes, err := kio.FromBytes(content)
	if err != nil {
		return &Error{File: file, Field: field, Err: fmt.Errorf("%w: configuration cannot be read: %s", ErrInvalid, quoteKustomize(err))}
	}
	for _, node := range nodes {
		if node.GetKind() == "HelmChartInflationGenerator" {
			return &Error{File: file, Field: field, Err: fmt.Errorf("%w: Helm charts inside a kustomization", ErrUnsupported)}
		}
		at, found := pluginPath(node.YNode(), false)
		if found == nil {
			continue
		}
		at = strings.TrimPrefix(at, ".")
		if field != "" {
			at = field + "." + at
		}
		if !isText(found) {
			return &Error{File: file, Field: at, Err: fmt.Errorf("%w: tag %q in a configuration", ErrUnsupported, found.Tag)}
		}
		return p.reference(file, ref{at, afterRemoteKey(found.Value)})
	}
	return nil
}

// pluginPath returns the first node under node that must not be: a remote reference under a key that names a file, or a
// scalar whose tag makes another text of it (!!binary). at is where it stands.
func pluginPath(node *yaml.Node, isPath bool) (at string, found *yaml.Node) {
	switch node.Kind {
	case yaml.AliasNode:
		return pluginPath(node.Alias, isPath)
	case yaml.ScalarNode:
		if !isText(node) || isPath && isRemote(afterRemoteKey(node.Value)) {
			return "", node
		}
	case yaml.DocumentNode, yaml.SequenceNode:
		for i, item := range node.Content {
			if at, found := pluginPath(item, isPath); found != nil {
				if node.Kind == yaml.SequenceNode {
					at = fmt.Sprintf("[%d]%s", i, at)
				}
				return at, found
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if key.Kind == yaml.AliasNode {
				key = key.Alias
			}
			if at, found := pluginPath(key, false); found != nil {
				return at, found
			}
			names := isPath || slices.ContainsFunc(pathFields(), func(f string) bool { return strings.EqualFold(f, key.Value) })
			if at, found := pluginPath(value, names); found != nil {
				return "." + key.Value + at, found
			}
		}
	}
	return "", nil
}

// isText says whether a scalar is read as what is written.
func isText(node *yaml.Node) bool {
	switch node.ShortTag() {
	case "!!str", "!!int", "!!bool", "!!float", "!!null", "!!timestamp", "!!merge":
		return true
	default:
		return false
	}
}

// afterRemoteKey returns the remote part of "key=path", or value.
func afterRemoteKey(value string) string {
	if file := afterKey(value); isRemote(file) {
		return file
	}
	return value
}
