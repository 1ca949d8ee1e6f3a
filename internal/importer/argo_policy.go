package importer

import (
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// policyLosses are fields of a syncPolicy without a place here.
func policyLosses() map[string]loss {
	return map[string]loss{
		"retry.refresh": notNeeded("a new revision is always taken up at once"),
	}
}

// ours are the sync options that a SyncPolicy takes, as its pattern says.
var ours = regexp.MustCompile(`^((CreateNamespace|PruneLast|Delete|Replace|Force|Validate)=(true|false)|Prune=(true|false|confirm)|PrunePropagationPolicy=(foreground|background|orphan)|(ServerSideApply|ApplyOutOfSyncOnly|RespectIgnoreDifferences|FailOnSharedResource|SkipDryRunOnMissingResource)=true)$`)

// readPolicy reads syncPolicy.
func readPolicy(f field) v1alpha1.SyncPolicy {
	var p v1alpha1.SyncPolicy
	f.as(respellPolicy(f)).into(&p, policyLosses(), lost("there is no such setting of a sync here"))
	automated := f.at("automated")
	if automated.at("enabled").value == false {
		p.Automated = nil
		if automated.at("prune").is() || automated.at("selfHeal").is() {
			automated.approximate("it is switched off (enabled: false): its settings are left out with it")
		}
	}
	p.SyncOptions = nil
	for _, option := range f.at("syncOptions").items() {
		readSyncOption(option, &p)
	}
	readRetry(f.at("retry"), p.Retry)
	if m := p.ManagedNamespaceMetadata; m != nil {
		meta := f.at("managedNamespaceMetadata")
		for _, name := range sortedKeys(m.Labels) {
			if strings.HasPrefix(name, "pod-security.kubernetes.io/") || strings.HasPrefix(name, "waybill.dev/") {
				meta.at("labels", name).drop("an administrator of the cluster sets it on the namespace")
				delete(m.Labels, name)
			}
		}
		for _, name := range sortedKeys(m.Annotations) {
			if strings.HasPrefix(name, "waybill.dev/") {
				meta.at("annotations", name).drop("annotations of Waybill are not set here")
				delete(m.Annotations, name)
			}
		}
	}
	return p
}

// respellPolicy writes pauses as Waybill does, in a copy, and leaves out enabled,
// which is no field here.
func respellPolicy(f field) any {
	var out map[string]any
	if convert(f.value, &out) != nil || out == nil {
		return f.value
	}
	if automated, has := out["automated"].(map[string]any); has {
		delete(automated, "enabled")
	}
	retry, _ := out["retry"].(map[string]any)
	backoff, _ := retry["backoff"].(map[string]any)
	for _, name := range []string{"duration", "maxDuration"} {
		if text, isText := backoff[name].(string); isText && digits.MatchString(text) {
			backoff[name] = text + "s"
		}
	}
	return out
}

var digits = regexp.MustCompile(`^[0-9]+$`)

func readRetry(f field, r *v1alpha1.RetryPolicy) {
	if r == nil {
		return
	}
	if r.Limit != nil && *r.Limit > 1000 {
		f.at("limit").approximate("at most 1000 tries: without a limit there is no end")
		*r.Limit = -1
	}
	if r.Backoff != nil && r.Backoff.Factor > 10 {
		f.at("backoff", "factor").approximate("10 is the most")
		r.Backoff.Factor = 10
	}
}

func readSyncOption(f field, p *v1alpha1.SyncPolicy) {
	option := strings.TrimSpace(f.text())
	name, value, _ := strings.Cut(option, "=")
	switch {
	case option == "":
	case ours.MatchString(option):
		p.SyncOptions = append(p.SyncOptions, option)
	case name == "ServerSideApply":
		f.approximate("everything is applied on the server's side")
	case name == "ApplyOutOfSyncOnly":
		f.approximate("what is in sync is never applied again")
	case name == "RespectIgnoreDifferences":
		f.approximate("what ignoreDifferences names is never sent once somebody else has set it")
	case name == "FailOnSharedResource":
		f.approximate("an object that belongs to another Application is always an error")
	case name == "SkipDryRunOnMissingResource":
		f.approximate("a kind that is not there yet is waited for")
	case name == "ClientSideApplyMigration":
		f.approximate("fields of kubectl apply are taken over as objects are adopted")
	case option == "Delete=confirm":
		p.SyncOptions = append(p.SyncOptions, "Delete=false")
		f.approximate("objects stay when the Application is deleted (Delete=false); nobody is asked")
	case name == "Prune" && value == "":
		f.drop("write Prune=false, true or confirm")
	default:
		f.drop("there is no such sync option here")
	}
}

// readIgnored reads ignoreDifferences.
func readIgnored(f field) []v1alpha1.IgnoreDifference {
	var out []v1alpha1.IgnoreDifference
	for _, item := range f.items() {
		var d v1alpha1.IgnoreDifference
		jq := item.at("jqPathExpressions")
		if !item.into(&d, map[string]loss{"jqPathExpressions": {outcome: Mapped}}, changes("there is no such way to leave a field to others")) {
			continue
		}
		for _, expression := range jq.items() {
			if path, ok := pathOf(expression.text()); ok {
				d.Paths = append(d.Paths, path)
			} else {
				expression.block("this jq expression is no path; name the field in paths, such as spec.template.spec.containers[name=web].image")
			}
		}
		if len(d.JSONPointers)+len(d.Paths)+len(d.ManagedFieldsManagers) > 0 {
			out = append(out, d)
		}
	}
	return out
}

var (
	jqPlain  = regexp.MustCompile(`^(\.[A-Za-z_][A-Za-z0-9_-]*|\.?\["[^"\\\[\]]+"\]|\."[^"\\]+"|\[\])+$`)
	jqPart   = regexp.MustCompile(`\.([A-Za-z_][A-Za-z0-9_-]*)|\.?\["([^"]+)"\]|\."([^"]+)"|(\[\])`)
	jqSelect = regexp.MustCompile(`^select\(\s*\.([A-Za-z_]\w*)\s*==\s*"([^"\\\]]+)"\s*\)$`)
)

// pathOf writes a jq expression that only goes down, and picks elements by a field,
// as a path of ours: .spec.containers[] | select(.name == "a") | .image.
func pathOf(jq string) (string, bool) {
	var out strings.Builder
	for _, part := range strings.Split(jq, "|") {
		part = strings.TrimSpace(part)
		if m := jqSelect.FindStringSubmatch(part); m != nil {
			before, found := strings.CutSuffix(out.String(), "[*]")
			if !found {
				return "", false
			}
			out.Reset()
			out.WriteString(before + "[" + m[1] + "=" + m[2] + "]")
			continue
		}
		if !jqPlain.MatchString(part) {
			return "", false
		}
		for _, m := range jqPart.FindAllStringSubmatch(part, -1) {
			switch key := m[2] + m[3]; {
			case m[4] != "":
				out.WriteString("[*]")
			case key != "":
				out.WriteString(`["` + key + `"]`)
			case out.Len() == 0:
				out.WriteString(m[1])
			default:
				out.WriteString("." + m[1])
			}
		}
	}
	path := out.String()
	return path, path != "" && !strings.HasPrefix(path, "[")
}
