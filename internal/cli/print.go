package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// output is the value of -o.
type output struct {
	format  string
	allowed []string
}

// outputFlag adds -o with the formats a command has; the first is the default.
func outputFlag(cmd *cobra.Command, formats ...string) *output {
	o := &output{format: formats[0], allowed: formats}
	cmd.Flags().VarP(o, "output", "o", "how to print: "+strings.Join(formats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return o
}

// allFormats are those of commands that print objects.
func allFormats() []string { return []string{"table", "wide", "json", "yaml", "name"} }

// String, Set and Type make output a pflag.Value.
func (o *output) String() string { return o.format }

// Set accepts one of the allowed formats.
func (o *output) Set(value string) error {
	if !slices.Contains(o.allowed, value) {
		return fmt.Errorf("want one of %s", strings.Join(o.allowed, ", "))
	}
	o.format = value
	return nil
}

// Type names the value in help texts.
func (o *output) Type() string { return "format" }

func (o *output) isMachine() bool { return o.format == "json" || o.format == "yaml" }

// encode writes value as JSON or YAML.
func (o *output) encode(w io.Writer, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	data = append(data, '\n')
	if o.format == "yaml" {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("encode output: %w", err)
		}
	}
	_, err = w.Write(data)
	return err
}

// printTable writes a table to standard output. On a terminal, lines are cut at
// its width; -o wide and -o json have everything.
func (a *App) printTable(t table) error {
	var b strings.Builder
	if err := t.write(&b, a.isColoured(a.Terminal.Stdout)); err != nil {
		return err
	}
	width := 0
	if a.Terminal.Stdout {
		width = a.width()
	}
	for line := range strings.Lines(b.String()) {
		if err := a.print("%s", cut(strings.TrimSuffix(line, "\n"), width)); err != nil {
			return err
		}
	}
	return nil
}

// statusCell shows a status word in its colour, on a terminal with its sign.
func (a *App) statusCell(word model.StatusWord) cell {
	var sign string
	var st style
	switch word {
	case model.StatusWordHealthy:
		sign, st = "●", green
	case model.StatusWordProgressing:
		sign, st = "◐", blue
	case model.StatusWordWaiting:
		sign, st = "◷", yellow
	case model.StatusWordFrozen:
		sign, st = "❄", blue
	case model.StatusWordDrifted:
		sign, st = "≠", violet
	case model.StatusWordFailed:
		sign, st = "✗", red
	default:
		sign, st = "?", dim
	}
	if a.Terminal.Stdout && a.isUTF8() {
		return cell{text: sign + " " + string(word), style: st}
	}
	return cell{text: string(word), style: st}
}

// phaseCell shows the phase of a Promotion in its colour.
func phaseCell(p model.Phase) cell {
	switch p {
	case model.PhaseSucceeded:
		return cell{text: string(p), style: green}
	case model.PhaseFailed, model.PhaseRolledBack:
		return cell{text: string(p), style: red}
	case model.PhaseRunning, model.PhaseSyncing, model.PhaseVerifying:
		return cell{text: string(p), style: blue}
	case model.PhasePending:
		return cell{text: string(p), style: yellow}
	default:
		return cell{text: string(p), style: dim}
	}
}

// isUTF8 reports whether the locale can show more than ASCII. No locale at all
// is common in containers, whose terminals can.
func (a *App) isUTF8() bool {
	locale := strings.ToUpper(firstOf(a.Getenv("LC_ALL"), a.Getenv("LC_CTYPE"), a.Getenv("LANG")))
	return locale == "" || strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}

// age is the time since t in its largest unit: 40s, 5m, 2h, 9d. A zero time
// has no age.
func (a *App) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(a.Now().Sub(t))
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// day is an instant that is not of this moment, in UTC.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// took is the time between two instants, to a tenth of a second while short.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	if d := to.Sub(from); d < time.Minute {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	return span(to.Sub(from))
}

// freightName is what people call a Freight: its version, else its alias, else
// the start of its name.
func freightName(f model.FreightRef) string {
	return firstOf(f.Version, f.Alias, short(f.Name))
}

// short is the start of a Freight's name or of a commit, long enough to be
// unique among those at hand.
func short(name string) string {
	if len(name) > 9 {
		return name[:9]
	}
	return name
}
