package e2e

import (
	"regexp"

	"sigs.k8s.io/yaml"
)

// managedFields would bury everything else.
var managedFields = regexp.MustCompile(`(?m)^ +managedFields:\n(?: +[-. a-zA-Z0-9].*\n)*?( +(?:name|namespace):)`)

func yamlOf(v any) string {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return managedFields.ReplaceAllString(string(raw), "$1")
}
