package health

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Conditions that controllers use where others say Ready, the plainest first. The first one an object has decides.
var readyWords = []string{"Available", "Healthy", "Succeeded", "Complete", "Completed", "Established", "Programmed", "Synced", "Accepted", "Valid", "Successful"}

// failureWords are conditions that mean failure when they are True.
var failureWords = []string{"Failed", "Degraded", "Error", "Invalid", "Failure"}

// byOtherWords judges a kind without Ready, Reconciling and Stalled by other common conditions, by what it is attached
// to, by a flag or by its phase. An object with none of them has no health.
func byOtherWords(obj *unstructured.Unstructured, conditions []condition, now time.Time) Result {
	rule := conditionRule{grace: startGrace}
	for _, c := range conditions { // all, as some controllers write two of a type
		if slices.Contains(failureWords, c.Type) && c.is("True") && !isStale(c, obj) {
			return rule.failed(c, now)
		}
	}
	if moving := find(conditions, "Progressing"); find(conditions, "Available").Type != "" && moving.Type != "" {
		if verdict := byProgress(moving); verdict.Counts() {
			return verdict
		}
	}
	for _, word := range readyWords {
		if c := find(conditions, word); c.Type != "" {
			return byReadyWord(obj, c, now)
		}
	}
	for _, at := range [][2]string{{"ancestors", "ancestorRef"}, {"parents", "parentRef"}} { // policies and routes, as in the Gateway API
		if len(list(obj, "status", at[0])) > 0 {
			return attached(obj, at[0], at[1])
		}
	}
	if c := find(conditions, "Running"); c.is("True") && !isStale(c, obj) { // operators made with Ansible
		switch c.Reason {
		case "Successful":
			return healthy(c.Reason, quote(c.Message))
		case "Running":
			return progressing(c.Reason, quote(c.Message))
		}
	}
	return byPhase(obj)
}

// byReadyWord judges by a condition that says of a kind whether it works.
func byReadyWord(obj *unstructured.Unstructured, c condition, now time.Time) Result {
	switch {
	case isStale(c, obj):
		return notObserved()
	case c.is("True") && !namesFailure(c.Reason): // a job may be complete because it failed
		return healthy(or(c.Reason, c.Type), quote(c.Message))
	case c.is("True"), c.is("False") && (c.Type == "Succeeded" || c.Type == "Valid" || namesFailure(c.Reason)): // Succeeded is Unknown while it runs
		return conditionRule{grace: startGrace}.failed(c, now)
	default:
		return progressing(or(c.Reason, "Not"+c.Type), quote(c.Message))
	}
}

// byProgress reads the condition Progressing beside Available, as a Deployment and operators of platforms write it:
// the first leaves it True when it is done and says so by the reason.
func byProgress(moving condition) Result {
	switch {
	case moving.is("False") && moving.Reason == progressDeadlineExceeded:
		return degraded(moving.Reason, quote(moving.Message))
	case moving.is("True") && !strings.HasSuffix(moving.Reason, "Available"):
		return progressing(or(moving.Reason, "Progressing"), quote(moving.Message))
	default:
		return Result{}
	}
}

// namesFailure says that the reason of a condition names a failure, and not work that goes on.
func namesFailure(reason string) bool {
	for _, word := range []string{"Failed", "Error", "Err", "Invalid", "Terminal"} {
		if strings.HasPrefix(reason, word) {
			return true
		}
	}
	for _, word := range []string{"Error", "Errors", "Failed", "Failure", "Invalid", "Terminal", "Rejected", "Denied"} {
		if strings.HasSuffix(reason, word) {
			return true
		}
	}
	return false
}

// phases says what a word of status.phase or status.state means, in lower case and without what separates words.
// Running is not among them: of a database it is good, of a job it is work.
var phases = map[string]func(reason, message string) Result{
	"ready": healthy, "healthy": healthy, "active": healthy, "available": healthy, "bound": healthy, "succeeded": healthy,
	"success": healthy, "completed": healthy, "complete": healthy, "deployed": healthy, "established": healthy,
	"installed": healthy, "online": healthy,

	"pending": progressing, "creating": progressing, "provisioning": progressing, "initializing": progressing,
	"updating": progressing, "upgrading": progressing, "deploying": progressing, "installing": progressing,
	"inprogress": progressing, "progressing": progressing, "reconciling": progressing, "starting": progressing,
	"configuring": progressing, "scaling": progressing, "restarting": progressing, "deleting": progressing,
	"terminating": progressing, "queued": progressing, "scheduled": progressing, "new": progressing,

	"failed": degraded, "failure": degraded, "error": degraded, "errored": degraded, "degraded": degraded,
	"unhealthy": degraded, "invalid": degraded, "rejected": degraded, "partiallyfailed": degraded, "crashloopbackoff": degraded,

	"paused": suspended, "suspended": suspended, "hibernated": suspended,

	"unknown": unknown,
}

// byPhase judges by a phase or state, or by the flags ready and healthy.
func byPhase(obj *unstructured.Unstructured) Result {
	for _, field := range []string{"phase", "state"} {
		if verdict := readPhase(obj, "status", field); verdict.Counts() {
			return verdict
		}
	}
	for _, field := range []string{"healthy", "ready"} {
		value, found, err := unstructured.NestedBool(obj.Object, "status", field)
		switch {
		case err != nil || !found:
		case value:
			return healthy("Ready", "")
		case field == "healthy":
			return degraded("NotHealthy", "says that it is not healthy")
		default:
			return progressing("NotReady", "is not ready yet")
		}
	}
	return Result{}
}

// readPhase judges by the word at fields; the zero Result when it is none of the known ones.
func readPhase(obj *unstructured.Unstructured, fields ...string) Result {
	word := text(obj, fields...)
	verdict, known := phases[plainWord(word)]
	if !known {
		return Result{}
	}
	message := quote(or(text(obj, "status", "message"), text(obj, "status", "error"), text(obj, "status", "reason")))
	return verdict(camelCase(word), message)
}

// plainWord is a word in lower case and without what separates its parts.
func plainWord(word string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(word))
}

// camelCase makes a reason of a word that somebody else wrote.
func camelCase(word string) string {
	var out strings.Builder
	for _, part := range strings.FieldsFunc(word, func(r rune) bool { return r == ' ' || r == '-' || r == '_' }) {
		if part == strings.ToUpper(part) {
			part = strings.ToLower(part)
		}
		first, size := utf8.DecodeRuneInString(part)
		out.WriteString(string(unicode.ToUpper(first)) + part[size:])
	}
	return out.String()
}
