package arch

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leastPatience is the shortest limit that a test may set for something that works: a
// machine that does other things at the same time takes long, and is not wrong. A limit
// costs a passing test nothing.
const leastPatience = time.Minute

var (
	// waits are the forms in which our tests set a limit. Polls and pauses have none of them.
	waits = regexp.MustCompile(`\b(?:WithTimeout|NewTimer|SetDeadline|SetReadDeadline)\(|[dD]eadline :?= time\.Now|\bpatience += |PollUntilContextTimeout\(|time\.After\(\d+ ?\* ?time\.Second|\b\w*Timeout: +[\dt]|Timeout(?:\.Duration)? = |(?:took|late|time\.Since\(\w+\)) > `)
	// pause is the first duration of a poll: how often, not how long.
	pause = regexp.MustCompile(`(PollUntilContextTimeout\([^,]+, )[^,]+,`)
	// literal is a duration written out.
	literal = regexp.MustCompile(`\b(\d+) ?\* ?time\.(Second|Millisecond)\b|\btime\.(Second|Millisecond)\b`)
	// meant says why a limit is short.
	meant = regexp.MustCompile(`//.*the limit is what is tested`)
)

// impatient returns a sentence for each line of a test that limits something to less than
// leastPatience and does not say that the limit is what is tested.
func impatient(file, content string) []string {
	var all []string
	for i, line := range strings.Split(content, "\n") {
		if !waits.MatchString(line) || meant.MatchString(line) {
			continue
		}
		line = pause.ReplaceAllString(line, "$1")
		if strings.HasPrefix(strings.TrimSpace(line), "for ") {
			line, _, _ = strings.Cut(line, ";") // the pause of a poll comes last
		}
		for _, m := range literal.FindAllStringSubmatch(line, -1) {
			n, unit := 1, m[3]
			if m[1] != "" {
				n, _ = strconv.Atoi(m[1])
				unit = m[2]
			}
			d := time.Duration(n) * map[string]time.Duration{"Second": time.Second, "Millisecond": time.Millisecond}[unit]
			if d < leastPatience {
				all = append(all, fmt.Sprintf("%s:%d gives up after %s: a busy machine takes longer. Give it %s or more, or say on the line: // the limit is what is tested", file, i+1, d, leastPatience))
			}
		}
	}
	return all
}

func TestTestsArePatient(t *testing.T) {
	seen := 0
	for _, f := range allFiles(t) {
		if !strings.HasSuffix(f, "_test.go") || strings.HasPrefix(f, "test/arch/") {
			continue
		}
		seen++
		for _, sentence := range impatient(f, readFile(t, f)) {
			t.Error(sentence)
		}
	}
	if seen < 100 {
		t.Errorf("only %d files looked at", seen)
	}
}

func TestImpatienceIsSeen(t *testing.T) {
	for line, want := range map[string]int{
		`ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)`:                              1,
		`ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the limit is what is tested`: 0,
		`ctx, cancel := context.WithTimeout(t.Context(), time.Minute)`:                                0,
		`err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 10*time.Second, true, ok)`:     1,
		`err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, ok)`:        0,
		`for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {`:     1,
		`for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {`:      0,
		`const patience = 30 * time.Second`:                                                           1,
		`c := http.Client{Timeout: 2 * time.Second}`:                                                  1,
		`if took := time.Since(start); took > 3*time.Second {`:                                        1,
		`if time.Since(start) > 3*time.Second {`:                                                      1,
		`clk.Step(2 * time.Second)`:                                                                   0,
	} {
		if got := impatient("a_test.go", line); len(got) != want {
			t.Errorf("%s: %q, want %d sentences", line, got, want)
		}
	}
}
