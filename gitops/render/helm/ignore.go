package helm

import (
	"bytes"
	"fmt"
	"io/fs"

	"helm.sh/helm/v4/pkg/ignore"
)

// IgnoreFile is where a chart's folder says what Helm leaves out.
const IgnoreFile = ignore.HelmIgnore

// Ignored returns what tells the files and folders that Helm leaves out of a
// chart, by their names from the chart's folder. text is that of its IgnoreFile,
// empty when there is none. It returns ErrChart for a rule that Helm does not take.
func Ignored(text []byte) (func(name string, info fs.FileInfo) bool, error) {
	rules, err := ignore.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrChart, IgnoreFile, err)
	}
	rules.AddDefaults()
	return rules.Ignore, nil
}
