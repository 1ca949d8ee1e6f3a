package secret

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// minRedactable is the shortest value a Redactor looks for: shorter ones would
// mask ordinary words and are too weak to be secrets.
const minRedactable = 4

// minRemains is the shortest beginning of a secret, at the end of a text that
// was cut off, and the shortest piece of base64 that is masked.
const minRemains = 6

// userInfo matches the user information of a URL inside a longer text.
var userInfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@"']*@`)

// Redact returns text without any of the known secrets and without user
// information in URLs. A secret is known in its plain form, as URLs, JSON, Go
// and HTML write it, and in base64 also where it is the end of something longer,
// as in a Basic header. Of a secret that was cut off at the end of the text the
// remains are masked.
func Redact(text string, known ...Text) string {
	var forms []string
	for _, t := range known {
		if v := t.Reveal(); len(v) >= minRedactable {
			forms = append(forms, formsOf(v)...)
		}
	}
	// Longest first, so that a secret that contains another is masked whole.
	sort.SliceStable(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
	for _, f := range forms {
		text = strings.ReplaceAll(text, f, mask)
	}
	for _, f := range forms {
		text = withoutRemains(text, f)
	}
	return userInfo.ReplaceAllString(text, "${1}"+mask+"@")
}

// formsOf returns the ways a value may be written.
func formsOf(v string) []string {
	forms := []string{v, url.QueryEscape(v), url.PathEscape(v), html.EscapeString(v), strings.Trim(strconv.Quote(v), `"`)}
	if raw, err := json.Marshal(v); err == nil {
		forms = append(forms, strings.Trim(string(raw), `"`))
	}
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, alphabet.EncodeToString([]byte(v)), alphabet.WithPadding(base64.NoPadding).EncodeToString([]byte(v)))
		// Behind other bytes the characters depend on how many: three ways, of
		// which the first and the last character mix with what is beside.
		for before := range 3 {
			whole := alphabet.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, before), v...))
			inner := whole[(before*8+5)/6:]
			if (before+len(v))%3 != 0 {
				inner = inner[:len(inner)-1]
			}
			if len(inner) >= minRemains {
				forms = append(forms, inner)
			}
		}
	}
	out := forms[:0]
	for _, f := range forms {
		if len(f) >= minRedactable {
			out = append(out, f)
		}
	}
	return out
}

// withoutRemains masks the beginning of form at the end of text, where a limit
// has cut the rest off.
func withoutRemains(text, form string) string {
	body := strings.TrimRight(text, ".…\"' ")
	end := text[len(body):]
	least := max(minRemains, len(form)/4)
	for n := min(len(form)-1, len(body)); n >= least; n-- {
		if strings.HasSuffix(body, form[:n]) {
			return body[:len(body)-n] + mask + end
		}
	}
	return text
}
