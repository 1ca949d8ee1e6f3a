package browser

import (
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	for _, c := range []struct{ system, screen, want string }{
		{"darwin", "", "open "}, {"windows", "", "rundll32 url.dll,FileProtocolHandler"}, {"linux", "", " "}, {"linux", ":0", "xdg-open "}, {"freebsd", ":0", "xdg-open "},
	} {
		name, args := command(c.system, func(key string) string {
			if key == "DISPLAY" {
				return c.screen
			}
			return ""
		})
		if got := name + " " + strings.Join(args, " "); got != c.want {
			t.Errorf("%s with screen %q: %q, want %q", c.system, c.screen, got, c.want)
		}
	}
}

func TestOnlyTheWebIsOpened(t *testing.T) {
	for _, bad := range []string{"", "file:///etc/passwd", "javascript:alert(1)", "-x", "https:", "calc.exe"} {
		if err := Open(t.Context(), bad, func(string) string { return ":0" }); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
}
