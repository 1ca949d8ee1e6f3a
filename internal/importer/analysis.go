package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// readVerification reads the AnalysisTemplates that a Stage names as checks.
func (i *importing) readVerification(f field, s *stage) *v1alpha1.Verification {
	if !f.has() {
		return nil
	}
	f.at("analysisRunMetadata").drop("checks are part of the Promotion: there is no AnalysisRun to label")
	v := &v1alpha1.Verification{Parallel: true}
	given := map[string]string{}
	for _, a := range f.at("args").items() {
		given[argument(a.at("name"))] = translateText(a.at("value"), a.at("value").text())
	}
	for _, t := range f.at("analysisTemplates").items() {
		kind, name := t.at("kind").text(), t.at("name").text()
		key := "AnalysisTemplate/" + s.of.report.Namespace + "/" + name
		if kind == "ClusterAnalysisTemplate" {
			key = kind + "//" + name
		}
		template := i.kargo.templates[key]
		if template == nil {
			t.block("the template is not among what is imported: import it along, or write spec.verification.checks; without, Freight is verified by being Healthy")
			continue
		}
		template.done = true
		template.became("Stage", s.out.Namespace, s.out.Name)
		readMeta(template, nil)
		i.readAnalysis(template, v, given)
	}
	for _, name := range sortedKeys(given) {
		v.Args = append(v.Args, v1alpha1.CheckArgument{Name: name, Value: given[name]})
	}
	names := make([]string, len(v.Checks))
	for n := range v.Checks {
		names[n] = v.Checks[n].Name
	}
	for n, name := range unique(names) {
		v.Checks[n].Name = name
	}
	if len(v.Checks) == 0 {
		return nil
	}
	return v
}

// argument is the name of an argument, which has no dashes here.
func argument(f field) string {
	name := f.text()
	if fixed := strings.ReplaceAll(name, "-", "_"); fixed != name {
		f.approximate("it is called %s here", fixed)
		return fixed
	}
	return name
}

// readAnalysis adds the metrics of a template as checks, and its arguments where
// the Stage gives none.
func (i *importing) readAnalysis(o *object, v *v1alpha1.Verification, given map[string]string) {
	spec := o.at("spec")
	for _, a := range spec.at("args").items() {
		name := argument(a.at("name"))
		if from := a.at("valueFrom"); from.has() {
			from.block("an argument has a value: secrets are no arguments of checks")
		}
		value := a.at("value").text()
		if _, has := given[name]; !has {
			given[name] = value
		}
	}
	dry := map[string]bool{}
	for _, d := range spec.at("dryRun").items() {
		dry[d.at("metricName").text()] = true
	}
	spec.at("measurementRetention").approximate("the newest measurements are kept")
	spec.at("templates").block("templates of a template: name them in spec.verification.analysisTemplates of the Stage")
	for _, m := range spec.at("metrics").items() {
		if name := m.at("name").peek(); dry[name] || dry[".*"] {
			m.drop("a metric that decides nothing (dryRun) is left out")
			continue
		}
		if c := readMetric(m); c != nil {
			v.Checks = append(v.Checks, *c)
		}
	}
}

// readMetric reads one metric of Argo Rollouts; nil when there is no such check.
func readMetric(f field) *v1alpha1.Check {
	c := &v1alpha1.Check{Name: nameOf(f.at("name").text())}
	if c.Name == "" {
		c.Name = "check"
	}
	provider := f.at("provider")
	m := readMeasuring(f)
	f.at("consecutiveSuccessLimit").block("count says how many measurements there are; there is no such limit")
	for _, p := range provider.entries() {
		switch p.name {
		case "job":
			c.Job = readJob(p.field, f, m)
		case "prometheus":
			c.Prometheus = readPrometheus(p.field, f, m)
		case "web":
			c.HTTP = readWeb(p.field, f, m)
		default:
			p.block("there is no check that asks %s: job runs any program, http asks any API", p.name)
		}
	}
	if c.Job == nil && c.Prometheus == nil && c.HTTP == nil {
		f.known("successCondition", "failureCondition", "provider")
		return nil
	}
	return c
}

// readMeasuring reads how often is measured, and how many bad answers are too many.
func readMeasuring(f field) v1alpha1.Measuring {
	var m v1alpha1.Measuring
	m.InitialDelay = duration(f.at("initialDelay"))
	m.Interval = duration(f.at("interval"))
	count := func(name string) int32 {
		n, _ := f.at(name).number()
		return int32(max(0, min(n, 1000))) //nolint:gosec // bounded
	}
	m.Count, m.FailureLimit, m.InconclusiveLimit = count("count"), count("failureLimit"), count("inconclusiveLimit")
	if f.at("consecutiveErrorLimit").there() {
		limit := count("consecutiveErrorLimit")
		m.ConsecutiveErrorLimit = &limit
	}
	if m.Count == 0 && f.at("interval").has() {
		f.at("interval").approximate("without count it would measure for ever: it measures once here; set count")
	}
	return m
}

func duration(f field) *metav1.Duration {
	text := f.text()
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		f.drop("it is no duration from 100ms to 24h, or one that an argument says: write it out")
		return nil
	}
	return &metav1.Duration{Duration: d}
}

// readJob reads a Job; its success is that it completes.
func readJob(f, metric field, m v1alpha1.Measuring) *v1alpha1.JobCheck {
	for _, name := range []string{"initialDelay", "interval", "count", "inconclusiveLimit", "consecutiveErrorLimit", "successCondition", "failureCondition"} {
		if x := metric.at(name); x.has() {
			x.approximate("a Job is run once, at once, and succeeds when it completes")
		}
	}
	f.at("metadata").drop("a Job is called and labelled by Waybill")
	spec := f.at("spec")
	out := &v1alpha1.JobCheck{FailureLimit: min(m.FailureLimit, 10)}
	if n, ok := spec.at("activeDeadlineSeconds").number(); ok && n > 0 && n <= 86400 {
		out.Deadline = &metav1.Duration{Duration: time.Duration(n) * time.Second}
	}
	spec.at("backoffLimit").approximate("failureLimit says how many Jobs may fail")
	spec.at("ttlSecondsAfterFinished").approximate("a Job is removed when it has been looked at")
	template := spec.at("template")
	if !template.has() {
		f.block("it has no template")
		return nil
	}
	template.at("spec", "restartPolicy").mapped()
	template.mapped()
	raw, err := json.Marshal(withArguments(template.value))
	if err != nil {
		template.block("it cannot be read")
		return nil
	}
	out.Template = runtime.RawExtension{Raw: raw}
	return out
}

func readPrometheus(f, metric field, m v1alpha1.Measuring) *v1alpha1.PrometheusCheck {
	out := &v1alpha1.PrometheusCheck{Measuring: m, Address: arguments(f.at("address").text()), Query: arguments(f.at("query").text())}
	out.SuccessCondition = condition(metric.at("successCondition"), "result")
	out.FailureCondition = condition(metric.at("failureCondition"), "result")
	out.Timeout = seconds(f.at("timeout"))
	f.at("insecure").drop("certificates are always checked")
	f.at("headers").block("a query sends no headers; ask by an http check")
	f.at("authentication").block("a query sends no credentials; ask by an http check, or a Job")
	f.at("rangeQuery").block("a query is for one instant: write the range into it ([5m])")
	if out.Address == "" {
		f.at("query").block("it names no address; name the server")
		return nil
	}
	if out.SuccessCondition == "" && out.FailureCondition == "" {
		f.at("query").block("without a condition nobody knows what is good: set successCondition")
		return nil
	}
	allowHost(f.at("address"))
	return out
}

func readWeb(f, metric field, m v1alpha1.Measuring) *v1alpha1.HTTPCheck {
	out := &v1alpha1.HTTPCheck{Measuring: m, URL: arguments(f.at("url").text()), Method: f.at("method").text(), Body: arguments(f.at("body").text())}
	if method := out.Method; method != "" && method != "GET" && method != "HEAD" && method != "POST" {
		f.at("method").block("a check sends GET, HEAD or POST, because it may be sent again")
		out.Method = ""
	}
	for _, h := range f.at("headers").items() {
		out.Headers = append(out.Headers, v1alpha1.CheckHeader{Name: h.at("key").text(), Value: arguments(h.at("value").text())})
	}
	if body := f.at("jsonBody"); body.has() {
		text, err := jsonText(withArguments(body.value))
		if err == nil {
			out.Body = text
			body.mapped()
		}
	}
	out.Timeout = seconds(f.at("timeoutSeconds"))
	f.at("insecure").drop("certificates are always checked")
	f.at("authentication").block("a check signs in by a header, which who may read the Stage may read; use a Job")
	result, ok := bodyPath(f.at("jsonPath").text())
	if !ok {
		f.at("jsonPath").block("only a path of names and numbers is known: write the condition over response.body")
	}
	out.SuccessCondition = condition(metric.at("successCondition"), result)
	out.FailureCondition = condition(metric.at("failureCondition"), result)
	allowHost(f.at("url"))
	return out
}

// allowHost reminds of what a Project has to allow.
func allowHost(f field) {
	if strings.HasPrefix(f.peek(), "http://") {
		f.approximate("plain http, and addresses that are private, need the host in spec.allowedHosts of the Project")
	}
}

func seconds(f field) *metav1.Duration {
	n, ok := f.number()
	if !ok || n <= 0 {
		return nil
	}
	if n > 60 {
		f.approximate("60s is the most")
		n = 60
	}
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

var (
	quotedArgument = regexp.MustCompile(`["']\{\{\s*args\.([\w-]+)\s*\}\}["']`)
	anyArgument    = regexp.MustCompile(`\{\{\s*args\.([\w-]+)\s*\}\}`)
	computed       = regexp.MustCompile(`(^|[^$])\{\{\s*([^{}]*\bargs\.[^{}]*?)\s*\}\}`)
	argumentName   = regexp.MustCompile(`\bargs\.[\w-]*\w`)
	plainPath      = regexp.MustCompile(`^\{?\$?((?:\.[A-Za-z_]\w*|\[[0-9]+\])*)\}?$`)
	firstResult    = regexp.MustCompile(`\bresult\[0\]`)
	anyResult      = regexp.MustCompile(`\bresult\b`)
	notHere        = regexp.MustCompile(`\b(isNaN|isInf|isNil|default)\(`)
)

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// arguments writes {{args.NAME}}, and what is computed of it, as an expression.
func arguments(text string) string {
	return computed.ReplaceAllStringFunc(text, func(found string) string {
		m := computed.FindStringSubmatch(found)
		return m[1] + "${{ " + argumentName.ReplaceAllStringFunc(m[2], underscored) + " }}"
	})
}

// withArguments does so in every text of a value, in a copy.
func withArguments(v any) any {
	switch v := v.(type) {
	case string:
		return arguments(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = withArguments(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for n, inner := range v {
			out[n] = withArguments(inner)
		}
		return out
	default:
		return v
	}
}

// condition writes a condition of Argo Rollouts over what is measured here.
func condition(f field, result string) string {
	text := f.text()
	if text == "" {
		return ""
	}
	if m := notHere.FindStringSubmatch(text); m != nil {
		f.block("there is no function %s: no answer is an error here, which consecutiveErrorLimit counts", m[1])
		return ""
	}
	out := quotedArgument.ReplaceAllStringFunc(text, func(found string) string {
		return "args." + underscored(quotedArgument.FindStringSubmatch(found)[1])
	})
	out = anyArgument.ReplaceAllStringFunc(out, func(found string) string {
		return "float(args." + underscored(anyArgument.FindStringSubmatch(found)[1]) + ")"
	})
	out = strings.NewReplacer("asFloat(", "float(", "asInt(", "int(").Replace(out)
	if result == "result" { // of Prometheus: a list there, the number here
		out = firstResult.ReplaceAllString(out, "result")
	} else {
		out = anyResult.ReplaceAllLiteralString(out, result)
	}
	if out != text {
		f.approximate("it is %s here", fmt.Sprintf("%q", out))
	}
	return out
}

// bodyPath is a JSON path as an expression over the answer.
func bodyPath(path string) (string, bool) {
	m := plainPath.FindStringSubmatch(path)
	if m == nil {
		return "response.body", false
	}
	return "response.body" + m[1], true
}
