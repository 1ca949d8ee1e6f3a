package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/notify"
)

const head = "apiVersion: waybill.dev/v1alpha1\nkind: "

func warehouseYAML(image string) string {
	return head + "Warehouse\nmetadata: {name: w, namespace: p}\nspec:\n  subscriptions:\n  - image:\n      repoURL: registry.example.com/app\n" + image
}

func warehouseOf(subscriptions string) string {
	return head + "Warehouse\nmetadata: {name: w, namespace: p}\nspec:\n  subscriptions:\n" + subscriptions
}

func stage(spec string) string {
	return head + "Stage\nmetadata: {name: test, namespace: p}\nspec:\n" + spec
}

const direct = "  requestedFreight:\n  - origin: {kind: Warehouse, name: w}\n    sources: {direct: true}\n"

// Each row is something people write, and the exact words they get.
func TestParseFindings(t *testing.T) {
	for _, tc := range []struct {
		name, why, yaml string
		want            []string
	}{
		{"semverConstraint", "Kargo until v1.9", warehouseYAML("      semverConstraint: ^1.0.0\n"),
			[]string{"f.yaml: document 1, line 8: spec.subscriptions[0].image.semverConstraint: semverConstraint is now constraint"}},
		{"allowTags", "Kargo v0.8: one expression", warehouseYAML("      allowTags: ^v\n"),
			[]string{"f.yaml: document 1, line 8: spec.subscriptions[0].image.allowTags: allowTags is now allowTagsRegexes (a list of regular expressions)"}},
		{"ignoreTags", "Kargo v0.8", warehouseYAML("      ignoreTags: [latest]\n"),
			[]string{"f.yaml: document 1, line 8: spec.subscriptions[0].image.ignoreTags: ignoreTags is now ignoreTagsRegexes (a list of regular expressions)"}},
		{"semverConstraint of git and chart", "Kargo", warehouseOf("  - git:\n      repoURL: https://git.example.com/app\n      semverConstraint: ^1.0.0\n  - chart:\n      repoURL: https://charts.example.com\n      name: app\n      semverConstraint: ^1.0.0\n"),
			[]string{
				"f.yaml: document 1, line 8: spec.subscriptions[0].git.semverConstraint: semverConstraint is now constraint",
				"f.yaml: document 1, line 12: spec.subscriptions[1].chart.semverConstraint: semverConstraint is now constraint",
			}},
		{"argoCDAppUpdates", "Kargo v0.8: Argo CD synced", stage(direct + "  promotionMechanisms:\n    gitRepoUpdates:\n    - repoURL: https://git.example.com/app.git\n      writeBranch: stage/test\n      kustomize: {images: [{image: registry.example.com/app, path: stages/test}]}\n    argoCDAppUpdates:\n    - appName: demo\n"),
			[]string{"f.yaml: document 1, line 13: spec.promotionMechanisms.argoCDAppUpdates: argoCDAppUpdates is now deploy (spec.deploy of the Stage: destination, source and syncPolicy, as in an Argo CD Application)"}},
		{"subscriptions of a Stage", "Kargo before v0.8", stage("  subscriptions:\n    upstreamStages: [{name: test}]\n"),
			[]string{"f.yaml: document 1, line 5: spec.subscriptions: subscriptions is now requestedFreight ({warehouse: W} is requestedFreight: [{origin: {kind: Warehouse, name: W}, sources: {direct: true}}], and upstreamStages go to sources.stages)"}},
		{"render", "Kargo Render", stage(direct + "  promotionMechanisms:\n    gitRepoUpdates:\n    - repoURL: https://git.example.com/app.git\n      writeBranch: stage/test\n      render: {}\n"),
			[]string{"f.yaml: document 1, line 12: spec.promotionMechanisms.gitRepoUpdates[0].render: render is now kustomize (the reconciler renders; the promotion only sets images)"}},
		{"promotionPolicies", "Kargo v0.8 Project", head + "Project\nmetadata: {name: p}\nspec:\n  promotionPolicies: [{stage: test, autoPromotionEnabled: true}]\n",
			[]string{"f.yaml: document 1, line 5: spec.promotionPolicies: promotionPolicies is now autoPromotion (spec.autoPromotion: {enabled: true} of the Stage)"}},
		{"apiVersion of Kargo", "the first thing to change", "apiVersion: kargo.akuity.io/v1alpha1\nkind: Stage\nmetadata: {name: test, namespace: p}\n",
			[]string{"f.yaml: document 1, line 1: apiVersion: kargo.akuity.io/v1alpha1 is now waybill.dev/v1alpha1"}},
		{"Freight", "made by the Warehouse", head + "Freight\nmetadata: {name: f, namespace: p}\n",
			[]string{"f.yaml: document 1, line 2: kind: Freight is made by its Warehouse, not applied"}},
		{"unknown field", "typing error", warehouseYAML("      constrain: ^1.0.0\n"),
			[]string{`f.yaml: document 1, line 8: spec.subscriptions[0].image.constrain: unknown field "constrain"; did you mean "constraint"?`}},
		{"unknown field without a neighbour", "says what there is", stage(direct + "  windows: []\n"),
			[]string{`f.yaml: document 1, line 8: spec.windows: unknown field "windows"; known here: approval, autoPromotion, commitStatus, deploy, promotionMechanisms, promotionTemplate, requestedFreight, rollback, vars, verification`}},
		{"several at once", "one run shows all", warehouseYAML("      semverConstraint: x\n      foo: 1\n"),
			[]string{
				"f.yaml: document 1, line 8: spec.subscriptions[0].image.semverConstraint: semverConstraint is now constraint",
				`f.yaml: document 1, line 9: spec.subscriptions[0].image.foo: unknown field "foo"; known here: allowTagsRegexes, constraint, discoveryLimit, extract, ignoreTagsRegexes, imageSelectionStrategy, insecureSkipTLSVerify, mutableTags, platform, repoURL, signature, strictSemvers`,
			}},
		{"second document", "documents are counted", head + "Project\nmetadata: {name: p}\n---\n" + warehouseYAML("      constrain: x\n"),
			[]string{`f.yaml: document 2, line 12: spec.subscriptions[0].image.constrain: unknown field "constrain"; did you mean "constraint"?`}},
		{"number where text is expected", "1.10 would become 1.1", warehouseYAML("      constraint: 1.10\n"),
			[]string{`f.yaml: document 1, line 8: spec.subscriptions[0].image.constraint: expected text, found a number: write it in quotes, "1.10"`}},
		{"text where true or false is expected", "yes is text in YAML 1.2", stage(direct + "  autoPromotion: {enabled: \"yes\"}\n"),
			[]string{"f.yaml: document 1, line 8: spec.autoPromotion.enabled: expected true or false, found text"}},
		{"object where a list is expected", "a forgotten dash", head + "Warehouse\nmetadata: {name: w, namespace: p}\nspec:\n  subscriptions:\n    image: {repoURL: x}\n",
			[]string{"f.yaml: document 1, line 6: spec.subscriptions: expected a list, found an object; put a dash in front of each item"}},
		{"bad duration", "a number has no unit", head + "Warehouse\nmetadata: {name: w, namespace: p}\nspec:\n  interval: 60\n  subscriptions: []\n",
			[]string{"f.yaml: document 1, line 5: spec.interval: expected a duration such as 30s, 5m or 1h30m"}},
		{"key twice", "the second would win in silence", stage(direct + "  requestedFreight: []\n"),
			[]string{"f.yaml: document 1, line 8: spec.requestedFreight: is there twice; the first is in line 5"}},
		{"malformed", "a tab", head + "Stage\nmetadata:\n\tname: x\n",
			[]string{"f.yaml: document 1, line 4: cannot be read as YAML: found character that cannot start any token"}},
		{"malformed after a good document", "the good one is not lost, nor applied alone", head + "Project\nmetadata: {name: p}\n---\n{",
			[]string{"f.yaml: document 2, line 5: cannot be read as YAML: did not find expected node content"}},
		{"not an object", "a list of things", "- a\n- b\n",
			[]string{"f.yaml: document 1, line 1: expected an object with apiVersion and kind, found a list"}},
		{"no kind", "an unrelated file", "foo: bar\n",
			[]string{"f.yaml: document 1, line 1: kind: set apiVersion and kind, such as apiVersion: waybill.dev/v1alpha1 and kind: Stage"}},
		{"other kind", "not our business", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n",
			[]string{`f.yaml: document 1, line 1: apiVersion: kind "Deployment" of "apps/v1" cannot be applied here; known are Application, Cluster, Freeze, Project, Promotion, PromotionTask, Stage, Warehouse of waybill.dev/v1alpha1, and Namespace and Secret of v1`}},
		{"misspelt kind", "typing error", head + "Stages\nmetadata: {name: x}\n",
			[]string{`f.yaml: document 1, line 2: kind: unknown kind "Stages"; did you mean "Stage"?`}},
		{"no name", "", head + "Project\nmetadata: {}\n",
			[]string{"f.yaml: document 1, line 3: metadata.name: set the name of the Project"}},
		{"no namespace", "and no default", head + "Stage\nmetadata: {name: test}\nspec:\n" + direct,
			[]string{"f.yaml: document 1, line 3: metadata.namespace: set it to the name of the Project, or give the Project with -p"}},
		{"Project with a namespace", "", head + "Project\nmetadata: {name: p, namespace: p}\n",
			[]string{"f.yaml: document 1, line 3: metadata.namespace: a Project is cluster-scoped; leave the namespace out"}},
		{"any Secret", "apply is no way to other Secrets", "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: p}\nstringData: {password: hunter2}\n",
			[]string{"f.yaml: document 1, line 1: metadata.labels: a Secret is applied only as a credential: label it waybill.dev/cred-type: git, image or chart, generic for expressions, webhook, message for a channel, sops for the keys of encrypted files, or cluster for a kubeconfig"}},
		{"any Namespace", "nor to other Namespaces", "apiVersion: v1\nkind: Namespace\nmetadata: {name: p}\n",
			[]string{`f.yaml: document 1, line 1: metadata.labels: a Namespace is applied only as the home of a Project: label it waybill.dev/project: "true"`}},
		{"a secret number", "the value must not be shown", "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: p, labels: {waybill.dev/cred-type: git}}\nstringData: {password: 12345}\n",
			[]string{"f.yaml: document 1, line 4: stringData[password]: expected text, found a number: write it in quotes"}},
		{"the same object twice", "the second would undo the first", head + "Project\nmetadata: {name: p}\n---\n" + head + "Project\nmetadata: {name: p}\n",
			[]string{`f.yaml: document 2, line 5: metadata.name: Project "p" is there twice; the other is in f.yaml, line 1`}},
		{"merge key", "kubectl expands it, we do not", head + "Stage\nmetadata: &m {name: test, namespace: p}\nspec:\n  <<: *m\n" + direct,
			[]string{"f.yaml: document 1, line 5: spec: merge keys (<<) are not supported; write the fields out"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, findings := Parse([]File{{Name: "f.yaml", Content: []byte(tc.yaml)}}, "")
			var got []string
			for _, f := range findings {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestParseReads(t *testing.T) {
	yaml := "\ufeff" + head + "Project\r\nmetadata: {name: p}\r\n---\n# nothing\n---\n" +
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: waybill.dev/v1alpha1\n  kind: Stage\n  metadata: {name: a, uid: x, resourceVersion: '1', managedFields: [{manager: kubectl}]}\n  spec: &s\n    requestedFreight:\n    - {origin: {name: w}, sources: {direct: true, requiredSoakTime: 1h}}\n  status: {whatever: true}\n" +
		"- apiVersion: waybill.dev/v1alpha1\n  kind: Stage\n  metadata: {name: b}\n  spec: *s\n"
	docs, findings := Parse([]File{{Name: "-", Content: []byte(yaml)}}, "p")
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	var got []string
	for _, d := range docs {
		got = append(got, fmt.Sprintf("%d:%d %s %s/%s", d.Index, d.Line, d.Kind, d.Namespace, d.Name))
	}
	if diff := cmp.Diff([]string{"1:1 Project /p", "3:10 Stage p/a", "3:17 Stage p/b"}, got); diff != "" {
		t.Fatal(diff)
	}
	want := `{"apiVersion":"waybill.dev/v1alpha1","kind":"Stage","metadata":{"name":"a","namespace":"p"},"spec":{"requestedFreight":[{"origin":{"name":"w"},"sources":{"direct":true,"requiredSoakTime":"1h"}}]}}`
	if diff := cmp.Diff(want, string(docs[1].JSON)); diff != "" {
		t.Fatal(diff)
	}
	if s := docs[2].Object.(*v1alpha1.Stage); s.Spec.RequestedFreight[0].Sources.RequiredSoakTime.Hours() != 1 || s.Namespace != "p" {
		t.Fatalf("alias or default namespace lost: %+v", s)
	}
	if got := docs[1].LineOf("spec.requestedFreight[0].sources.requiredSoakTime"); got != 15 {
		t.Fatalf("LineOf = %d, want 15", got)
	}
}

func TestParseStopsAtBombs(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'j'; i++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	deep := strings.Repeat("{a: ", 500) + strings.Repeat("}", 500)
	for name, labels := range map[string]string{"aliases": bomb, "depth": "a: " + deep + "\n"} {
		yaml := "apiVersion: v1\nkind: Namespace\nmetadata: {name: p, labels: {waybill.dev/project: 'true'}}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(labels), "\n", "\n  ") + "\n"
		_, findings := Parse([]File{{Name: "f", Content: []byte(yaml)}}, "")
		if len(findings) == 0 {
			t.Fatalf("%s: accepted", name)
		}
	}
	_, findings := Parse([]File{{Name: "f", Content: make([]byte, MaxBytes+1)}}, "")
	if len(findings) != 1 || !strings.Contains(findings[0].Message, "larger than") {
		t.Fatal(findings)
	}
	_, findings = Parse([]File{{Name: "f", Content: []byte(strings.Repeat("---\n{}\n", MaxDocuments+5))}}, "")
	if len(findings) == 0 {
		t.Fatal("accepted any number of documents")
	}
}

func TestExamplesAreClean(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), v1alpha1.Group+"/") {
			continue // content of a repository
		}
		docs, findings := Parse([]File{{Name: path, Content: data}}, "")
		findings = append(findings, Lint(docs, Existing{IsComplete: true})...)
		if len(findings) > 0 {
			t.Errorf("%s: %v", path, findings)
		}
		read += len(docs)
	}
	if read == 0 {
		t.Fatal("no example found")
	}
}

func TestLint(t *testing.T) {
	upstream := func(name, from, branch string) string {
		return "---\n" + head + "Stage\nmetadata: {name: " + name + ", namespace: p}\nspec:\n  requestedFreight:\n  - origin: {name: w}\n    sources: {stages: [" + from + "]}\n" +
			"  promotionMechanisms:\n    gitRepoUpdates:\n    - repoURL: https://git.example.com/app.git\n      writeBranch: " + branch + "\n      kustomize: {images: [{image: registry.example.com/app, path: app}]}\n"
	}
	for _, tc := range []struct {
		name, yaml string
		existing   Existing
		want       []string
	}{
		{
			"notifications", head + "Project\nmetadata: {name: p}\nspec:\n  notifications:\n  - {name: a, channel: chat, events: [PromotionFailed, Failed]}\n" +
				"  - {name: a, channel: chatt, message: \"${{ event.stages }} ${{ event.who }}\"}\n" +
				"---\napiVersion: v1\nkind: Secret\nmetadata: {name: chat, namespace: p, labels: {waybill.dev/cred-type: message}}\nstringData: {type: slack, url: \"https://hooks.example.com/x\"}\n",
			Existing{}, []string{
				`error f: document 1, line 6: spec.notifications[0].events[1]: there is no event "Failed"; there are ` + notify.EventList(),
				`warning f: document 1, line 7: spec.notifications[1].channel: these files define no channel "chatt" for Project "p": make a Secret of that name with the label waybill.dev/cred-type: message, or correct the name`,
				`error f: document 1, line 7: spec.notifications[1].name: "a" is the name of spec.notifications[0] as well`,
				`error f: document 1, line 7: spec.notifications[1].message: there is no event.who; there are event, text, subject, project, notification, at, stage, stages, promotion, freight, alias, version, object, by, reason, cause, url`,
			},
		},
		{"cycle", warehouseYAML("") + upstream("a", "b", "stage/a") + upstream("b", "a", "stage/b"), Existing{}, []string{
			"error f: document 2, line 13: spec.requestedFreight: Stages wait for each other: a <- b <- a; remove one of them from sources.stages",
			"error f: document 3, line 26: spec.requestedFreight: Stages wait for each other: b <- a <- b; remove one of them from sources.stages",
		}},
		{"one branch, one path, two Stages", warehouseYAML("") + stageAfter("a", "stage/x") + stageAfter("b", "stage/x"), Existing{}, []string{
			`error f: document 2, line 16: spec.promotionMechanisms: Stage "b" also writes path "app" of branch "stage/x" of https://git.example.com/app.git; give each Stage its own branch or path`,
			`error f: document 3, line 29: spec.promotionMechanisms: Stage "a" also writes path "app" of branch "stage/x" of https://git.example.com/app.git; give each Stage its own branch or path`,
		}},
		{"no Warehouse, nobody looked", stageAfter("a", "stage/a"), Existing{}, nil},
		{"no Warehouse", stageAfter("a", "stage/a"), Existing{IsComplete: true}, []string{
			`warning f: document 1, line 7: spec.requestedFreight[0].origin.name: no Warehouse "w" in Project "p"; create it or correct the name`,
		}},
		{"unknown upstream", warehouseYAML("") + upstream("a", "nowhere", "stage/a"), Existing{IsComplete: true}, []string{
			`warning f: document 2, line 13: spec.requestedFreight: names upstream Stage "nowhere", which is not in Project "p"; create it or correct the name`,
		}},
		{"image nobody delivers", strings.Replace(warehouseYAML(""), "example.com/app", "example.com/other", 1) + stageAfter("a", "stage/a"), Existing{}, []string{
			`warning f: document 2, line 20: spec.promotionMechanisms.gitRepoUpdates[0].kustomize.images[0].image: Warehouse "w" does not deliver image "registry.example.com/app"; subscribe to it or correct the name`,
		}},
		{"a range that is none", warehouseYAML("      constraint: newest\n"), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].image: constraint of image "registry.example.com/app": "newest" is not a version range such as ^1.26.0`,
		}},
		{"an expression that is none", warehouseYAML("      allowTagsRegexes: [\"(\"]\n"), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].image: allowTagsRegexes of image "registry.example.com/app": "(" is not a regular expression (RE2 syntax)`,
		}},
		{"a key that is none", warehouseYAML("      signature: {key: {publicKey: cosign.pub}}\n"), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].image: signature.key.publicKey of image "registry.example.com/app": it is not a public key in PEM, as in cosign.pub`,
		}},
		{"an identity without who", warehouseYAML("      signature: {keyless: {issuer: 'https://issuer.example.com', trustedRoot: '{}'}}\n"), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].image: signature.keyless of image "registry.example.com/app": set one of subject and subjectRegex`,
		}},
		{"a trusted root that is none", warehouseYAML("      signature: {keyless: {issuer: 'https://issuer.example.com', subject: x, trustedRoot: '{}'}}\n"), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].image: signature.keyless.trustedRoot of image "registry.example.com/app": it is not a trusted_root.json with certificateAuthorities and tlogs`,
		}},
		{"one repository twice", warehouseYAML("  - image: {repoURL: registry.example.com/app/}\n"), Existing{}, []string{
			`error f: document 1, line 8: spec.subscriptions[1].image: spec.subscriptions[0] watches the same repository; one Freight holds one version of it`,
		}},
		{"a Git subscription with a mistake", strings.Replace(warehouseYAML(""), "  - image:\n      repoURL: registry.example.com/app\n", "  - git: {repoURL: 'git://git.example.com/app', branch: main}\n  - git: {repoURL: 'git@git.example.com:app', includePaths: ['regex:(']}\n", 1), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].git.repoURL: scheme "git" is not supported; use https or ssh`,
			`error f: document 1, line 7: spec.subscriptions[1].git: includePaths of repository "git@git.example.com:app": "(" is not a regular expression (RE2 syntax)`,
		}},
		{"a chart and criteria with mistakes", strings.Replace(warehouseYAML(""), "  - image:\n      repoURL: registry.example.com/app\n", "  - chart: {repoURL: 'https://charts.example.com', name: app, constraint: newest}\n  freightCreationCriteria: {expression: 'imageFrom('}\n", 1), Existing{}, []string{
			`error f: document 1, line 6: spec.subscriptions[0].chart: constraint of image "charts": "newest" is not a version range such as ^1.26.0 of chart "https://charts.example.com app"`,
			`error f: document 1, line 7: spec.freightCreationCriteria: freightCreationCriteria.expression: invalid expression: "imageFrom(": unexpected token EOF (1:10)`,
		}},
		{"an address with a password", warehouseYAML("") + strings.Replace(stageAfter("a", "stage/a"), "https://git", "https://me:canary@git", 1), Existing{}, []string{
			`error f: document 2, line 18: spec.promotionMechanisms.gitRepoUpdates[0].repoURL: user information is not allowed in a repository URL; put it into a credential Secret`,
		}},
		{"an address of a protocol nobody speaks", warehouseYAML("") + strings.Replace(stageAfter("a", "stage/a"), "https://", "git://", 1), Existing{}, []string{
			`error f: document 2, line 18: spec.promotionMechanisms.gitRepoUpdates[0].repoURL: scheme "git" is not supported; use https or ssh`,
		}},
		{"clusters are not looked at", warehouseYAML("") + strings.Replace(stageAfter("a", "stage/a"), "spec:\n", "spec:\n  deploy: [{name: each, forEach: {clusters: {matchLabels: {a: b}}}, destination: {namespace: p}, source: {path: .}}]\n", 1), Existing{IsComplete: true}, nil},
		{"the kubeconfig of a cluster is no credential of a repository", "apiVersion: v1\nkind: Secret\nmetadata: {name: c, namespace: p, labels: {waybill.dev/cred-type: cluster}}\nstringData: {kubeconfig: x}\n", Existing{}, nil},
		{"a cluster without a kubeconfig", "apiVersion: v1\nkind: Secret\nmetadata: {name: c, namespace: p, labels: {waybill.dev/cred-type: cluster}}\n", Existing{}, []string{
			"error f: document 1, line 1: the Secret of a cluster needs a key kubeconfig",
		}},
		{"SSH is fine", warehouseYAML("") + strings.Replace(stageAfter("a", "stage/a"), "https://git.example.com/app.git", "git@git.example.com:app.git", 1), Existing{}, nil},
		{"a receiver with a mistake", head + "Project\nmetadata: {name: p}\nspec:\n  webhookReceivers:\n  - name: ci\n    generic: {secretRef: {name: s}, repoURLs: body.repo +}\n", Existing{}, []string{
			"error f: document 1, line 6: spec.webhookReceivers[0]: generic.repoURLs: unexpected token EOF (1:11)",
		}},
		{"a credential without password", secretYAML("git", "repoURL: https://git.example.com/, username: canary"), Existing{}, []string{
			`error f: document 1, line 1: credential Secret "s" in "p": set both username and password (for a token, any user name does)`,
		}},
		{"a short webhook secret", secretYAML("webhook", "secret: canary"), Existing{}, []string{
			`error f: document 1, line 1: Secret "s" needs a key secret of at least 16 characters`,
		}},
		{"a Docker config", secretYAML("image", `.dockerconfigjson: '{"auths":{"registry.example.com":{"username":"u","password":"p"}}}'`), Existing{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			docs, findings := Parse([]File{{Name: "f", Content: []byte(tc.yaml)}}, "")
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			var got []string
			for _, f := range Lint(docs, tc.existing) {
				got = append(got, string(f.Severity)+" "+f.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func secretYAML(typ, data string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: p, labels: {waybill.dev/cred-type: " + typ + "}}\nstringData: {" + data + "}\n"
}

func stageAfter(name, branch string) string {
	return "---\n" + head + "Stage\nmetadata: {name: " + name + ", namespace: p}\nspec:\n" + direct +
		"  promotionMechanisms:\n    gitRepoUpdates:\n    - repoURL: https://git.example.com/app.git\n      writeBranch: " + branch + "\n      kustomize: {images: [{image: registry.example.com/app, path: app}]}\n"
}

func TestOrder(t *testing.T) {
	var docs []Document
	for _, kind := range []string{"Stage", "Freeze", "Secret", "Namespace", "Warehouse", "Project"} {
		docs = append(docs, Document{Kind: kind})
	}
	var got []string
	for _, d := range Order(docs) {
		got = append(got, d.Kind)
	}
	if diff := cmp.Diff([]string{"Namespace", "Project", "Secret", "Warehouse", "Stage", "Freeze"}, got); diff != "" {
		t.Fatal(diff)
	}
}

// FuzzParse: no panic, and what reads well has a kind, a name and JSON.
func FuzzParse(f *testing.F) {
	f.Add(warehouseYAML("      constraint: ^1\n"))
	f.Add(stage(direct))
	f.Add("a: &a [*a]\n")
	f.Add("? {a: b}\n: c\n")
	f.Add("--- !!binary |\n  aGk=\n")
	f.Add("apiVersion: v1\nkind: List\nitems: [null, 3, {}]\n")
	f.Fuzz(func(t *testing.T, yaml string) {
		docs, findings := Parse([]File{{Name: "f", Content: []byte(yaml)}}, "p")
		for _, d := range docs {
			if d.Kind == "" || d.Name == "" || len(d.JSON) == 0 {
				t.Fatalf("read as %+v", d)
			}
			d.LineOf("spec.requestedFreight[0].origin")
		}
		for _, x := range findings {
			_ = x.String() + x.Pointer()
		}
		Lint(docs, Existing{IsComplete: true})
	})
}
