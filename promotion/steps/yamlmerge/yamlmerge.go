// Package yamlmerge is the step yaml-merge: it merges YAML files, later ones over
// earlier ones. Mappings are merged, everything else is replaced; comments of the
// first file stay. Output: commitMessage.
package yamlmerge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	// maxNodes bounds what the files come to, aliases written out.
	maxNodes = 200_000
	maxDepth = 200
)

// Config of yaml-merge.
type Config struct {
	// InFiles are merged in order.
	InFiles []string `json:"inFiles"`
	// OutFile is where the result goes.
	OutFile string `json:"outFile"`
	// IgnoreMissingFiles leaves out files that are not there.
	IgnoreMissingFiles bool `json:"ignoreMissingFiles,omitempty"`
}

// Step is yaml-merge.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

var errTooLarge = errors.New("the file is too large or too deep, aliases written out")

// Run merges the files.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	var merged *yaml.Node
	var used []string
	left := maxNodes
	for _, name := range c.InFiles {
		raw, err := in.ReadFile(name)
		if c.IgnoreMissingFiles && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return step.Result{}, err
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			return step.Result{}, step.Reasoned("FileInvalid", fmt.Errorf("file %q: %w", name, err))
		}
		used = append(used, name)
		if len(doc.Content) == 0 {
			continue // an empty file
		}
		root, err := expand(doc.Content[0], &left, 0)
		if err != nil {
			return step.Result{}, step.Terminal("FileTooLarge", fmt.Errorf("file %q: %w", name, err))
		}
		if merged == nil {
			merged = root
			continue
		}
		merged = merge(merged, root)
	}
	if merged == nil {
		return step.Result{}, step.Reasoned("FileMissing", fmt.Errorf("none of %s is there", strings.Join(c.InFiles, ", ")))
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(merged), e.Close()); err != nil {
		return step.Result{}, step.Terminal("FileInvalid", fmt.Errorf("write %q: %w", c.OutFile, err))
	}
	message := fmt.Sprintf("merged %s into %s", strings.Join(used, ", "), c.OutFile)
	return step.Result{Message: message, Output: map[string]any{"commitMessage": message}}, in.WriteFile(c.OutFile, out.Bytes())
}

// expand returns a copy of n with its aliases written out: an anchor of one file
// is not there in another.
func expand(n *yaml.Node, left *int, depth int) (*yaml.Node, error) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, errTooLarge
	}
	if n.Kind == yaml.AliasNode {
		return expand(n.Alias, left, depth+1)
	}
	out := *n
	out.Anchor, out.Content = "", make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		var err error
		if out.Content[i], err = expand(c, left, depth+1); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// merge returns base with what is over it.
func merge(base, over *yaml.Node) *yaml.Node {
	if base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode {
		return over
	}
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		found := false
		for j := 0; j+1 < len(base.Content); j += 2 {
			if base.Content[j].Value == key.Value {
				base.Content[j+1], found = merge(base.Content[j+1], value), true
				break
			}
		}
		if !found {
			base.Content = append(base.Content, key, value)
		}
	}
	return base
}
