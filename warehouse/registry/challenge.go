package registry

import "strings"

const (
	maxChallengeBytes = 8 << 10
	maxChallenges     = 8
)

// challenge is one way a registry asks for authentication.
type challenge struct {
	scheme string            // lower case: "basic", "bearer"
	params map[string]string // names in lower case
}

// parseChallenges reads WWW-Authenticate headers (RFC 9110, section 11.6.1). It
// never fails: what it cannot read is not a challenge we can answer.
func parseChallenges(headers []string) []challenge {
	var out []challenge
	for _, h := range headers {
		if len(h) > maxChallengeBytes {
			continue
		}
		for rest := h; ; {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			word, after := token(rest)
			if word == "" { // not a token: no use guessing on
				break
			}
			if value, isParam := strings.CutPrefix(strings.TrimLeft(after, " \t"), "="); isParam {
				var v string
				v, rest = paramValue(strings.TrimLeft(value, " \t"))
				if n := len(out); n > 0 {
					name := strings.ToLower(word)
					if _, isTwice := out[n-1].params[name]; !isTwice {
						out[n-1].params[name] = v
					}
				}
				continue
			}
			if len(out) == maxChallenges {
				return out
			}
			out = append(out, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
			rest = after
		}
	}
	return out
}

// pick returns the challenge we answer: bearer before basic.
func pick(all []challenge) (challenge, bool) {
	for _, scheme := range []string{"bearer", "basic"} {
		for _, c := range all {
			if c.scheme == scheme && (scheme == "basic" || c.params["realm"] != "") {
				return c, true
			}
		}
	}
	return challenge{}, false
}

// token splits off the leading token characters (RFC 9110, section 5.6.2).
func token(s string) (word, rest string) {
	i := 0
	for i < len(s) {
		c := s[i]
		isAlnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !isAlnum && !strings.ContainsRune("!#$%&'*+-.^_`|~/", rune(c)) { // "/" for token68
			break
		}
		i++
	}
	return s[:i], s[i:]
}

// paramValue reads a token or a quoted string.
func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		word, rest := token(s)
		return word, strings.TrimLeft(rest, "=") // padding of a token68
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
