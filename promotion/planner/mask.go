package planner

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Whoever may see a Stage sees its previews, and many of them may not read the
// Secrets of its cluster. So what a manifest gives a Secret is masked, wherever
// it is written: in the Secret, in a patch of one, in a generator, and under
// keys that by their name hold a password.

// holdsSecret reports whether a mapping is a Secret, a patch aimed at one, or
// one operation of a patch on data.
func holdsSecret(n *yaml.Node) bool {
	if isSecretKind(n) || isSecretKind(child(n, "target")) {
		return true
	}
	if op, p := child(n, "op"), child(n, "path"); op != nil && p != nil {
		return strings.HasPrefix(p.Value, "/data") || strings.HasPrefix(p.Value, "/stringData")
	}
	return false
}

func isSecretKind(n *yaml.Node) bool {
	kind := child(n, "kind")
	return kind != nil && strings.HasSuffix(kind.Value, "Secret")
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// namesSecret reports whether the name of a key says that its value is secret.
func namesSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"secret", "passw", "token", "credential", "apikey", "api_key", "api-key", "privatekey", "private_key", "private-key"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// quotesSecret reports whether a text is, or carries, a manifest of a Secret.
func quotesSecret(text string) bool {
	return strings.Contains(text, "kind") && strings.Contains(text, "Secret") || strings.Contains(text, "stringData") ||
		strings.Contains(text, "/data/") || strings.Contains(text, "-----BEGIN ")
}
