package memory

import (
	"os"
	"strings"
	"testing"
)

// residentFile is what of this process' memory is pages of files, in KiB.
func residentFile(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Skip("this kernel does not tell RssFile")
	return ""
}

func TestUnmapProgram(t *testing.T) {
	before := residentFile(t)
	for range 3 { // and what is let go comes back when it is used
		let, err := unmapProgram()
		if err != nil || let < 1<<20 {
			t.Fatalf("let go of %d bytes: %v", let, err)
		}
	}
	t.Logf("%s before, %s after", before, residentFile(t))
}

func TestParseMapping(t *testing.T) {
	for line, want := range map[string]mapping{
		"00400000-0352c000 r-xp 00000000 fe:00 10871593                           /usr/bin/waybilld": {0x400000, 0x352c000, "r-xp", "/usr/bin/waybilld"},
		"7f0000-7f1000 r--p 00001000 08:01 7    /opt/a b/waybilld (deleted)":                         {0x7f0000, 0x7f1000, "r--p", "/opt/a b/waybilld (deleted)"},
		"c000000000-c000400000 rw-p 00000000 00:00 0 ":                                               {},
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]":           {},
		"": {},
	} {
		got, ok := parseMapping(line)
		if ok != (want.path != "") || ok && got != want {
			t.Errorf("%q = %+v, %v", line, got, ok)
		}
	}
}
