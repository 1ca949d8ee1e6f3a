package importer

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// kargo is what is read of Kargo before its Stages are written.
type kargo struct {
	policies  map[string][]policy // by Project
	stages    []*stage
	tasks     map[string]*task // by Project and name; cluster-wide ones by name
	templates map[string]*object
	// webhooks are the Secrets of webhook receivers, with the key that holds it.
	webhooks map[string]string
}

// policy is one entry of promotionPolicies.
type policy struct {
	field
	matches func(name string, labels map[string]string) bool
	enabled bool
	// rollback says that a failed verification, and a failed promotion, are taken back.
	onVerification, onPromotion bool
	used                        bool
}

// readKargo reads everything of Kargo.
func (i *importing) readKargo() {
	i.kargo = kargo{policies: map[string][]policy{}, tasks: map[string]*task{}, templates: map[string]*object{}, webhooks: map[string]string{}}
	i.each(kargoGroup, i.readKargoProject, "Project")
	i.each(kargoGroup, i.readProjectConfig, "ProjectConfig")
	i.each(kargoGroup, i.readWarehouse, "Warehouse")
	i.each(kargoGroup, i.readTask, "PromotionTask", "ClusterPromotionTask")
	i.each(argoGroup, func(o *object) {
		i.kargo.templates[o.report.Kind+"/"+o.report.Namespace+"/"+o.report.Name] = o
	}, "AnalysisTemplate", "ClusterAnalysisTemplate")
	i.each(kargoGroup, i.readStage, "Stage")
	i.deployStages()
}

// writeKargo writes what readKargo has read.
func (i *importing) writeKargo() {
	i.limitDeployed()
	i.writeTasks()
	for _, s := range i.kargo.stages {
		i.writeStage(s)
	}
	for _, name := range sortedKeys(i.kargo.policies) {
		for _, p := range i.kargo.policies[name] {
			if !p.used {
				p.approximate("no Stage that is imported is meant: it is spec.autoPromotion of each Stage here")
			}
		}
	}
}

// home is the Project of a namespace of Kargo.
func (i *importing) home(o *object) string {
	home := i.projectName(o.report.Namespace)
	if o.report.Namespace == "" {
		home = i.Project
	}
	i.project(home)
	return home
}

func (i *importing) readKargoProject(o *object) {
	o.done = true
	name := i.projectName(o.report.Name)
	p := i.project(name)
	p.from = append(p.from, o)
	keep := o.at("metadata", "annotations", "kargo.akuity.io/keep-namespace")
	if keep.is() {
		p.meta.Annotations = put(p.meta.Annotations, "waybill.dev/keep-namespace", "true")
	}
	labels, annotations := readMeta(o, nil)
	p.meta.Labels = labels
	for _, key := range sortedKeys(annotations) {
		p.meta.Annotations = put(p.meta.Annotations, key, annotations[key])
	}
	o.at("metadata", "finalizers").mark(ignored)
	i.readPolicies(o.at("spec", "promotionPolicies"), name) // before there was a ProjectConfig
}

func (i *importing) readProjectConfig(o *object) {
	o.done = true
	name := i.home(o)
	p := i.project(name)
	p.from = append(p.from, o)
	spec := o.at("spec")
	readMeta(o, nil)
	i.readPolicies(spec.at("promotionPolicies"), name)
	for _, r := range spec.at("webhookReceivers").items() {
		if receiver := i.readReceiver(r, o.report.Namespace); receiver != nil {
			p.spec.WebhookReceivers = append(p.spec.WebhookReceivers, *receiver)
		}
	}
	spec.at("freightLinks").drop("there are no links of one's own")
	spec.at("stageLinks").drop("there are no links of one's own")
	for n, w := range spec.at("promotionWindows").items() {
		if window := readRecurrence(w, n); window != nil {
			p.spec.Windows = append(p.spec.Windows, *window)
		}
	}
	o.became("Project", "", name)
}

// readPolicies reads which Stages are promoted to by themselves.
func (i *importing) readPolicies(f field, project string) {
	for _, entry := range f.items() {
		p := policy{field: entry, enabled: entry.at("autoPromotionEnabled").is()}
		matches, ok := nameSelector(entry)
		if !ok {
			entry.drop("the Stages it is for cannot be read: it is spec.autoPromotion of each Stage here")
			continue
		}
		p.matches = matches
		back := entry.at("autoRollback")
		if !back.has() {
			back.mapped()
		}
		p.onPromotion = len(back.at("onPromotion").texts()) > 0
		on := back.at("onVerification")
		p.onVerification = len(on.texts()) > 0 || back.there() && !on.there()
		i.kargo.policies[project] = append(i.kargo.policies[project], p)
	}
}

// nameSelector reads stage and stageSelector.
func nameSelector(f field) (func(string, map[string]string) bool, bool) {
	selector := f.at("stageSelector")
	byLabel, ok := readSelector(selector)
	if !ok {
		return nil, false
	}
	name := cmp.Or(f.at("stage").text(), selector.at("name").text())
	byName := func(string) bool { return true }
	for _, prefix := range []string{"regex:", "regexp:", "glob:"} {
		if pattern, found := strings.CutPrefix(name, prefix); found {
			if prefix == "glob:" {
				pattern = "^" + globRegex(pattern) + "$"
			}
			re, err := regexp.Compile(pattern)
			if err != nil {
				return nil, false
			}
			byName, name = re.MatchString, ""
		}
	}
	return func(stage string, labels map[string]string) bool {
		return (name == "" || name == stage) && byName(stage) && byLabel(labels)
	}, true
}

// globRegex is a pattern of * and ? as a regular expression.
func globRegex(glob string) string {
	quoted := regexp.QuoteMeta(glob)
	return strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(quoted)
}

// automatic is the policy of a Stage; the first that fits counts.
func (i *importing) automatic(project, stage string, labels map[string]string) policy {
	for at := range i.kargo.policies[project] {
		p := &i.kargo.policies[project][at]
		if p.matches(stage, labels) {
			p.used = true
			return *p
		}
	}
	return policy{}
}

// receivers are the senders that both have, by the key that holds the secret.
func receivers() map[string]string {
	return map[string]string{
		"github": "secret", "gitlab": "secret-token", "gitea": "secret", "bitbucket": "secret", "azure": "secret",
		"dockerhub": "secret", "quay": "secret", "harbor": "auth-header", "artifactory": "secret-token",
	}
}

// readReceiver reads a webhook receiver; nil when there is none like it.
func (i *importing) readReceiver(f field, namespace string) *v1alpha1.WebhookReceiver {
	f.at("generic").drop("its actions are written otherwise here: generic with when and repoURLs (docs/guides/webhooks.md)")
	m, _ := f.value.(map[string]any)
	if m["generic"] != nil {
		f.at("name").mapped()
		return nil
	}
	var out v1alpha1.WebhookReceiver
	if !f.into(&out, nil, lost("there is no such sender here")) {
		return nil
	}
	out.Name = nameOf(out.Name)
	for sender, key := range receivers() {
		if secret := f.at(sender, "secretRef", "name"); secret.has() {
			i.kargo.webhooks[namespace+"/"+secret.peek()] = key
			f.at(sender).approximate("the address to send to is another one: waybill get webhooks shows it; the secret has to have 16 characters")
			return &out
		}
	}
	return nil
}

// readKargoSecret reads a credential of Kargo.
func (i *importing) readKargoSecret(o *object, kind field) {
	o.done = true
	kind.mapped()
	v := valuesOf(o)
	labels := o.at("metadata", "labels")
	labels.at("kargo.akuity.io/replicate-to").approximate("it is shared by its annotation waybill.dev/shared-with")
	readMeta(o, nil)
	namespace, isShared := i.SystemNamespace, slices.Contains([]string{"kargo-shared-resources", "kargo-system-resources"}, o.report.Namespace)
	if !isShared {
		namespace = i.home(o)
	}
	key, isWebhook := i.kargo.webhooks[o.report.Namespace+"/"+o.report.Name]
	switch kind.peek() {
	case "git", "image", "helm":
		credType := kind.peek()
		if credType == "helm" {
			credType = "chart"
		}
		i.writeCredential(o, namespace, credType, i.credential(v))
	case "generic":
		values := map[string]string{}
		for _, name := range v.keys() {
			values[name] = v.text(name)
		}
		credType := "generic"
		if isWebhook {
			credType = "webhook"
			values = map[string]string{"secret": cmp.Or(values["secret"], values[key])}
			if len(values["secret"]) < 16 {
				o.add(Dropped, "", "the secret of a webhook has to have 16 characters: make a new one", false)
				return
			}
		}
		secret := newSecret(namespace, o.report.Name, credType, values)
		if isShared {
			share(secret, sortedKeys(i.projects))
		}
		i.write("Secret", namespace, o.report.Name, secret, o)
	default:
		kind.drop("there is no such type of credential here")
	}
}

// Stage is what a Stage of Kargo becomes.
type Stage struct {
	Stage v1alpha1.Stage
	// Lines say what is not simply the same.
	Lines []Line
}

// ReadStages translates the Stages among objects of Kargo; Projects, ProjectConfigs,
// tasks and Applications beside them say what they mean. It is what observe and
// import have in common. The Namespace of a Stage is as it was.
func ReadStages(objects []map[string]any) []Stage {
	files := make([]manifest.Foreign, len(objects))
	for n := range objects {
		files[n].Object = objects[n]
	}
	i := begin(files, Options{Kargo: true})
	i.readArgo()
	i.readKargo()
	out := make([]Stage, 0, len(i.kargo.stages))
	for _, s := range i.kargo.stages {
		s.out.Namespace = s.of.report.Namespace
		out = append(out, Stage{Stage: s.out, Lines: s.of.finish().Lines})
	}
	return out
}
