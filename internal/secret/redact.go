package secret

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"sort"
	"strings"
)

// minRedactable is the shortest value a Redactor looks for: shorter ones would
// mask ordinary words and are too weak to be secrets.
const minRedactable = 4

// userInfo matches the user information of a URL inside a longer text.
var userInfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@"']*@`)

// Redact returns text without any of the known secrets, in their plain,
// URL-escaped and base64 forms, and without user information in URLs.
func Redact(text string, known ...Text) string {
	var forms []string
	for _, t := range known {
		v := t.Reveal()
		if len(v) < minRedactable {
			continue
		}
		forms = append(forms, v, url.QueryEscape(v), url.PathEscape(v),
			base64.StdEncoding.EncodeToString([]byte(v)),
			base64.RawURLEncoding.EncodeToString([]byte(v)))
	}
	// Longest first, so that a secret that contains another is masked whole.
	sort.Slice(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
	for _, f := range forms {
		text = strings.ReplaceAll(text, f, mask)
	}
	return userInfo.ReplaceAllString(text, "${1}"+mask+"@")
}
