package promotion_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/promotion"
)

// TestCheckMeaning: what fits the schema of a step and cannot run all the same is
// found when the Stage is applied.
func TestCheckMeaning(t *testing.T) {
	const deploy = "deploy: [{name: eu, destination: {namespace: guestbook-eu}, source: {repoURL: x}}, {name: us, destination: {namespace: guestbook-us}, source: {repoURL: x}}]\n"
	for name, c := range map[string]struct {
		deploy, step string
		want         []string
	}{
		"a Job":             {deploy, `{uses: run-job, config: {image: x, deploy: us, deadline: 1h, backoffLimit: 3, env: [{name: A, value: b}]}}`, nil},
		"a Job by template": {deploy, `{uses: run-job, config: {template: {spec: {containers: [{name: a, image: x}]}}}}`, nil},
		"expressions fit":   {deploy, `{uses: run-job, config: {image: "${{ ctx.stage }}", deploy: "${{ ctx.stage }}", deadline: "${{ ctx.stage }}", backoffLimit: "${{ 1 }}", template: "${{ {} }}"}}`, nil},
		"no cluster":        {"", `{uses: run-job, config: {image: x}}`, []string{"the Stage deploys nothing"}},
		"no such entry":     {deploy, `{uses: run-job, config: {image: x, deploy: asia}}`, []string{`there is no deploy entry "asia"`}},
		"no image":          {deploy, `{uses: run-job, config: {command: [x]}}`, []string{"set image, or that of template.spec.containers[0]"}},
		"no duration":       {deploy, `{uses: run-job, config: {image: x, deadline: soon}}`, []string{`deadline "soon" is no duration`}},
		"too long":          {deploy, `{uses: run-job, config: {image: x, deadline: 48h}}`, []string{`deadline "48h" is not between 1s and 24h`}},
		"too often":         {deploy, `{uses: run-job, config: {image: x, backoffLimit: 100}}`, []string{"backoffLimit 100 is not between 0 and 10"}},
		"no Pod template":   {deploy, `{uses: run-job, config: {image: x, template: {containers: []}}}`, []string{"template.containers: there is no such field"}},
		"no containers":     {deploy, `{uses: run-job, config: {image: x, template: {spec: {containers: {name: a}}}}}`, []string{"template.spec.containers is no list"}},
		"other fields":      {deploy, `{uses: run-job, config: {image: x, resources: {}}}`, []string{"there is no such field"}},
		"an approval":       {deploy, `{uses: wait-for-approval, config: {required: 2, groups: [a], expireAfter: 8h}}`, nil},
		"any approval":      {deploy, `{uses: wait-for-approval}`, nil},
		"too many asked":    {deploy, `{uses: wait-for-approval, config: {required: 17}}`, []string{"required 17 is not between 1 and 16"}},
		"too few asked":     {deploy, `{uses: wait-for-approval, config: {required: 3, users: [ada, bob]}}`, []string{"required 3 is more than the 2 users who are asked"}},
		"no expiry":         {deploy, `{uses: wait-for-approval, config: {expireAfter: never}}`, []string{`expireAfter "never" is no duration`}},
		"a message":         {deploy, `{uses: send-message, config: {channel: releases, message: hello}}`, nil},
		"no channel":        {deploy, `{uses: send-message, config: {channel: "#releases", message: hello}}`, []string{`channel "#releases" is no name of a Secret`}},
		"no message":        {deploy, `{uses: send-message, config: {channel: releases}}`, []string{"is required"}},
		"a long message":    {deploy, `{uses: send-message, config: {channel: releases, message: ` + strings.Repeat("x", 17<<10) + `}}`, []string{"message has 17408 bytes, more than 16384"}},
	} {
		t.Run(name, func(t *testing.T) {
			stage := templated(t, "requestedFreight: []\n"+c.deploy+"promotionTemplate: {spec: {steps: ["+c.step+"]}}")
			var got []string
			for i, p := range promotion.CheckTemplate(stage, nil) {
				text := strings.TrimPrefix(p.Message, "spec.promotionTemplate.spec.steps[0].config")
				if p.Reason != promotion.ReasonInvalidConfig || !strings.HasPrefix(p.Message, "spec.promotionTemplate.spec.steps[0].config") {
					t.Errorf("problem %+v", p)
				}
				if i < len(c.want) && strings.Contains(text, c.want[i]) {
					text = c.want[i]
				}
				got = append(got, text)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("problems differ:\n%s", d)
			}
		})
	}
}
