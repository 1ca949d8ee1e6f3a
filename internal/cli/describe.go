package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) describeCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "describe stage|promotion|freight|warehouse [PROJECT/]NAME",
		Short: "Tell all about one Stage, promotion, Freight or Warehouse",
		Example: `  waybill describe stage guestbook/prod
  waybill describe promotion guestbook/prod.7.f0123456
  waybill describe stage/prod -p guestbook
  waybill describe freight 1.27.0 -p guestbook
  waybill describe warehouse guestbook/guestbook`,
		Args: func(cmd *cobra.Command, args []string) error {
			return exactArgs("KIND", "[PROJECT/]NAME")(cmd, splitPair(args))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"stage", "promotion", "freight", "warehouse"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeStage(1)(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			args = splitPair(args)
			kind := strings.TrimSuffix(strings.ToLower(args[0]), "s")
			if kind != "stage" && kind != "promotion" && kind != "freight" && kind != "warehouse" {
				return usagef(cmd, "describe knows stage, promotion, freight and warehouse, not %q; waybill get prints any definition", args[0])
			}
			it, err := a.target(cmd, x, args[1], kind)
			if err != nil {
				return err
			}
			var page any
			var d *description
			switch kind {
			case "stage":
				s, err := c.Stage(cmd.Context(), it.project, it.name)
				if err != nil {
					return err
				}
				page, d = s, a.describeStage(s)
			case "promotion":
				p, err := c.Promotion(cmd.Context(), it.project, it.name)
				if err != nil {
					return err
				}
				page, d = p, a.describePromotion(p)
			case "warehouse":
				w, err := c.Warehouse(cmd.Context(), it.project, it.name)
				if err != nil {
					return err
				}
				page, d = w, a.describeWarehouse(w)
			default:
				f, err := c.Freight(cmd.Context(), it.project, it.name)
				if err != nil {
					return err
				}
				page, d = f, a.describeFreight(f)
			}
			if out.isMachine() {
				return out.encode(a.Stdout, page)
			}
			return d.write(a.Stdout)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

// description is labelled lines; what has no text is left out.
type description struct{ b strings.Builder }

func (d *description) line(label, format string, args ...any) {
	what := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	if what != "" {
		fmt.Fprintf(&d.b, "%-14s %s\n", label+":", what)
	}
}

// list is a label with one indented line for each item.
func (d *description) list(label string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(&d.b, "%s:\n", label)
	for _, item := range items {
		fmt.Fprintf(&d.b, "  %s\n", strings.Join(strings.Fields(item), " "))
	}
}

func (d *description) write(w io.Writer) error {
	_, err := io.WriteString(w, d.b.String())
	return err
}

func (a *App) ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s ago (%s)", a.age(t), t.UTC().Format("2006-01-02 15:04:05Z"))
}

func (a *App) describeStage(s *model.StageDetail) *description {
	d := &description{}
	st := &s.Stage
	d.line("Stage", "%s/%s", st.Project, st.Name)
	d.line("Status", "%s: %s", st.Status.Word, st.Status.Sentence)
	d.line("Next", "%s", st.Status.NextAction.Command)
	for _, f := range st.Origins {
		d.line("Runs", "%s of %s, for %s, since %s, commit %s", freightOf(f), f.Origin, a.age(f.Since), f.Since.UTC().Format("2006-01-02 15:04:05Z"), short(f.Commit))
	}
	d.line("Health", "%s %s", st.Health, st.HealthMessage)
	d.line("Upstream", "%s", strings.Join(st.Upstream, ", "))
	flow := "people promote"
	if st.Auto {
		flow = "automatic"
	}
	d.line("Flow", "%s", flow)
	d.line("Rollback", "%s", firstOf(st.Rollback, prefix("to ", freightName(st.RollbackTo))))
	for _, b := range st.Branches {
		d.line("Writes", "%s of %s", b.WriteBranch, b.RepoURL)
	}
	var stops []string
	for _, f := range st.Freezes {
		stops = append(stops, fmt.Sprintf("%s by %s%s: %s", strings.ReplaceAll(string(f.ShownAs), "-", " "), person(f.By), untilText(&f), f.Reason))
	}
	d.list("Stopped", stops)
	var waiting []string
	for _, p := range st.PendingPromotions {
		waiting = append(waiting, fmt.Sprintf("%s %s: %s", p.Name, freightName(p.Freight), p.Message))
	}
	d.list("Waiting", waiting)
	if st.Next.Freight.Name != "" {
		d.list("Next Freight "+freightName(st.Next.Freight), orLine(gateLines(st.Next.Closed), "every gate is open"))
	}
	var apps []string
	for _, app := range s.Applications {
		apps = append(apps, fmt.Sprintf("%s in %s/%s: %s, %s %s", app.Name, app.Cluster, app.Namespace, app.Sync, app.Health, app.HealthMessage))
	}
	d.list("Destinations", apps)
	d.line("Verification", "%s", join(" of ", checksText(&st.Verification), st.Verification.Version))
	d.list("Checks", checkLines(&st.Verification))
	var last []string
	for i, p := range s.Promotions {
		if i == 5 {
			break
		}
		last = append(last, fmt.Sprintf("%s %s %s %s ago, by %s", p.Name, freightName(p.Freight), p.Phase, a.age(p.CreatedAt), person(p.RequestedBy)))
	}
	d.list("Promotions", last)
	return d
}

func freightOf(f model.StageFreight) string {
	return freightName(model.FreightRef{Name: f.Name, Alias: f.Alias, Version: f.Version})
}

func orLine(lines []string, line string) []string {
	if len(lines) == 0 {
		return []string{line}
	}
	return lines
}

func (a *App) describePromotion(p *model.Promotion) *description {
	d := &description{}
	d.line("Promotion", "%s/%s", p.Project, p.Name)
	d.line("What", "%s", promotionHeadline(p))
	d.line("Phase", "%s %s", p.Phase, p.Reason)
	d.line("Message", "%s", p.Message)
	by := person(p.RequestedBy)
	if p.Automatic {
		by += " (automatic)"
	}
	d.line("Requested", "%s ago by %s", a.age(p.CreatedAt), by)
	d.line("Reason", "%s", p.RequestReason)
	if len(p.Bypass) > 0 {
		var gates []string
		for _, g := range p.Bypass {
			gates = append(gates, string(g))
		}
		d.line("Bypasses", "%s", strings.Join(gates, ", "))
	}
	if n := p.ApprovalNeed; n.Need > 0 {
		d.line("Approvals", "%d of %d, from %s", n.Have, n.Need, askedText(n))
	}
	var approvals []string
	for _, ap := range p.Approvals {
		what := "approved"
		if ap.Decision == model.Reject {
			what = "rejected"
		}
		note := ""
		if ap.Standing != model.Counts {
			note = " (does not count: " + strings.ReplaceAll(string(ap.Standing), "-", " ") + ")"
		}
		line := fmt.Sprintf("%s %s %s ago%s", person(ap.Actor), what, a.age(ap.CreatedAt), note)
		approvals = append(approvals, join(": ", line, ap.Reason))
	}
	d.list("Decisions", approvals)
	d.line("Plan", "%s", p.PlanHash)
	d.list("Closed gates", gateLines(p.Gates))
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, fmt.Sprintf("%s %s %s %s", s.State, s.Name, took(s.StartedAt, s.FinishedAt), s.Message))
	}
	d.list("Steps", steps)
	d.line("Verification", "%s", checksText(&p.Verification))
	d.list("Checks", checkLines(&p.Verification))
	if len(p.Commits) > 0 {
		d.list("Commits", commitLines(p.Commits))
	} else if p.Commit.Commit != "" {
		d.line("Commit", "%s", commitLines([]model.Commit{p.Commit})[0])
	}
	d.line("Retry of", "%s", p.RetryOf)
	d.line("Retried by", "%s", p.RetriedBy)
	d.line("Superseded by", "%s", p.SupersededBy)
	d.line("Taken back by", "%s", p.RolledBackBy)
	if p.Abort.By != "" {
		d.line("Aborted", "by %s %s", person(p.Abort.By), p.Abort.Reason)
	}
	return d
}

func (a *App) describeFreight(f *model.Freight) *description {
	d := &description{}
	d.line("Freight", "%s", f.Name)
	d.line("Version", "%s", f.Version)
	d.line("Alias", "%s", f.Alias)
	d.line("Origin", "%s, number %d", f.Origin, f.Order)
	d.line("Found", "%s", a.ago(f.CreatedAt))
	var images []string
	for _, img := range f.Images {
		images = append(images, fmt.Sprintf("%s:%s %s", img.RepoURL, img.Tag, img.Digest))
	}
	d.list("Images", images)
	var signatures []string
	for _, s := range f.Signatures {
		signatures = append(signatures, fmt.Sprintf("%s: %s", s.RepoURL, s.Message))
	}
	d.list("Signatures", signatures)
	var commits, charts []string
	for _, c := range f.Commits {
		commits = append(commits, fmt.Sprintf("%s %s %s %s", c.RepoURL, c.ID, firstOf(c.Tag, c.Branch), c.Message))
	}
	d.list("Commits", commits)
	for _, c := range f.Charts {
		charts = append(charts, fmt.Sprintf("%s %s %s", c.RepoURL, c.Name, c.Version))
	}
	d.list("Charts", charts)
	var stages []string
	for _, s := range f.Stages {
		where := "was there"
		if s.Current {
			where = "runs there"
		}
		if !s.VerifiedAt.IsZero() {
			where += fmt.Sprintf(", verified %s ago", a.age(s.VerifiedAt))
		}
		if soaked := a.soaked(&s); soaked > 0 {
			where += ", soaked " + span(soaked)
		}
		if s.Checks != "" {
			where += ", checks " + join(": ", string(s.Checks), s.ChecksMessage)
		}
		stages = append(stages, fmt.Sprintf("%s: %s", s.Stage, where))
	}
	d.list("Stages", stages)
	var rejections []string
	for _, z := range f.Rejections {
		where := z.Stage
		if where == allStages {
			where = "every Stage"
		}
		rejections = append(rejections, fmt.Sprintf("%s, by %s: %s", where, person(z.By), z.Reason))
	}
	d.list("Rejected", rejections)
	return d
}

// soaked is how long Freight has run well in a Stage without a break that
// counts: the longest stretch, ended or not.
func (a *App) soaked(s *model.FreightInStage) time.Duration {
	running := time.Duration(s.SoakedSeconds) * time.Second
	if !s.SoakingSince.IsZero() {
		running += a.Now().Sub(s.SoakingSince)
	}
	return max(running, time.Duration(s.LongestSoakSeconds)*time.Second)
}

// shownCandidates is how many candidates describe names of each subscription.
const shownCandidates = 5

func (a *App) describeWarehouse(w *model.Warehouse) *description {
	d := &description{}
	d.line("Warehouse", "%s/%s", w.Project, w.Name)
	ready := "no"
	if w.Ready {
		ready = "yes"
	}
	d.line("Ready", "%s: %s", ready, firstOf(w.Message, w.Reason))
	d.line("Interval", "%s", w.Interval)
	d.line("Freight", "%s, the latest is %s", firstOf(w.FreightCreationPolicy, "Automatic"), firstOf(freightName(w.LatestFreight), "none"))
	for _, s := range w.Subscriptions {
		lines := []string{
			"error: " + s.Error,
			"follows: " + join(" ", s.Strategy, s.Branch, s.Constraint),
			"last poll: " + a.ago(s.LastPoll),
			"next poll: " + dueText(s.NextPoll, a.Now()),
			"requests: " + fmt.Sprintf("%d, of %d looked at", s.Requests, s.Tags),
			"signed by: " + s.Signature,
			"newest: " + strings.Join(candidatesOf(s), ", "),
			"refused: " + strings.Join(refusedOf(s), ", "),
		}
		var said []string
		for _, line := range lines {
			if _, value, _ := strings.Cut(line, ": "); value != "" {
				said = append(said, line)
			}
		}
		d.list(join(" ", firstOf(string(s.Type), "image"), s.RepoURL, s.Chart), said)
	}
	return d
}

// refusedOf are the newest images that are no candidates, with the reason.
func refusedOf(s model.Subscription) []string {
	var out []string
	for _, r := range s.Refused {
		out = append(out, r.Tag+" ("+r.Reason+")")
	}
	return firstFew(out)
}

// firstFew cuts a list to what one line holds.
func firstFew(all []string) []string {
	if len(all) > shownCandidates {
		return append(all[:shownCandidates:shownCandidates], fmt.Sprintf("and %d more", len(all)-shownCandidates))
	}
	return all
}

// dueText is an instant to come, with how far it is.
func dueText(at, now time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Before(now):
		return "due"
	}
	return fmt.Sprintf("in %s (%s)", at.Sub(now).Round(time.Second), at.UTC().Format("2006-01-02 15:04:05Z"))
}

// candidatesOf are the newest candidates of a subscription as people call them.
func candidatesOf(s model.Subscription) []string {
	var out []string
	for _, i := range s.Candidates {
		out = append(out, firstOf(i.Tag, short(strings.TrimPrefix(i.Digest, "sha256:"))))
	}
	for _, c := range s.Commits {
		out = append(out, join(" ", firstOf(c.Tag, c.ID[:min(7, len(c.ID))]), c.Message))
	}
	for _, c := range s.Charts {
		out = append(out, c.Version)
	}
	return firstFew(out)
}

func commitLines(commits []model.Commit) []string {
	out := make([]string, 0, len(commits))
	for _, c := range commits {
		out = append(out, fmt.Sprintf("%s on %s of %s", short(c.Commit), c.Branch, c.RepoURL))
	}
	return out
}
