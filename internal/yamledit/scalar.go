package yamledit

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	kubeyaml "sigs.k8s.io/yaml"
)

// sexagesimal is what YAML 1.1 reads as a number in base 60 ("12:30"). Readers differ, so it is quoted.
const sexagesimal = `^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`

// spellings returns the ways to write value, the one nearest to style first. The caller takes the first that
// proves right in its place: a plain text may be fine in a block and wrong inside brackets.
func spellings(value any, style yaml.Style) ([]string, error) {
	text, isString := value.(string)
	if !isString {
		plain, err := spellOther(value)
		return []string{plain}, err
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: text is not UTF-8", ErrInvalidValue)
	}
	double := doubleQuoted(text)
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		return []string{double}, nil
	case style&yaml.SingleQuotedStyle != 0 && isPrintableLine(text):
		return []string{singleQuoted(text), double}, nil
	case style&yaml.SingleQuotedStyle == 0 && isPlain(text):
		return []string{text, double}, nil
	default:
		return []string{double}, nil
	}
}

// spellOther writes a value that is not text.
func spellOther(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "null", nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", fmt.Errorf("%w: number is not finite", ErrInvalidValue)
		}
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0" // else it would come back as an integer
		}
		return text, nil
	default:
		return "", fmt.Errorf("%w: %T is not a scalar", ErrInvalidValue, value)
	}
}

// isPlain says whether every reader in this field takes text, written without quotes, as exactly this string.
// Two are asked: YAML 1.2's resolver (kustomize) and YAML 1.1's (Kubernetes, where "on" and "1_0" are no strings).
func isPlain(text string) bool {
	if !isPrintableLine(text) || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...") {
		return false
	}
	if regexp.MustCompile(sexagesimal).MatchString(text) {
		return false
	}
	var core any
	if err := yaml.Unmarshal([]byte("k: "+text+"\n"), &core); err != nil {
		return false
	}
	if m, ok := core.(map[string]any); !ok || len(m) != 1 || m["k"] != any(text) {
		return false
	}
	encoded, err := kubeyaml.YAMLToJSON([]byte("k: " + text + "\n"))
	if err != nil {
		return false
	}
	var old map[string]any
	return json.Unmarshal(encoded, &old) == nil && len(old) == 1 && old["k"] == any(text)
}

// isPrintableLine says whether text can stand unescaped on one line.
func isPrintableLine(text string) bool {
	for _, r := range text {
		if !unicode.IsPrint(r) || r == '\uFEFF' {
			return false
		}
	}
	return true
}

func singleQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// doubleQuoted writes text with the escapes of YAML's double-quoted style.
func doubleQuoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r != '\uFEFF' && unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xFF:
			fmt.Fprintf(&b, `\x%02X`, r)
		case r <= 0xFFFF:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
