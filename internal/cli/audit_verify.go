package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/chain"
)

// Bounds of what is verified.
const (
	// maxRowBytes bounds a line of a file of rows.
	maxRowBytes = 1 << 20
	// maxBreaks is after how many breaks no more are looked for.
	maxBreaks = 100
	// rowsPerLine is how often the work says how far it is.
	rowsPerLine = 20_000
)

func (a *App) auditVerifyCommand() *cobra.Command {
	var out *output
	var from int64
	var head, file string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether the audit trail is as it was written",
		Long: `Say whether the audit trail is as it was written: go along its rows, each of which has the
hash of the one before, and along the records of promotions that they vouch for. Printed is
the head, the number and hash of the last row, or every place where the chain breaks, and how.

A chain cannot show by itself that its end was cut off, or that all of it was written anew.
Note the head in another place, and give it as --head: servers log it, as "audit checkpoint".

With -f the rows of a file that waybill audit export wrote are verified, without a server; -
is standard input. For administrators otherwise.`,
		Example: `  waybill audit verify
  waybill audit verify --head 412:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  waybill audit verify --from 100000 -o json
  waybill audit export | waybill audit verify -f -`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			check := verification{app: a}
			if head != "" {
				noted, err := chain.ParseHead(head)
				if err != nil || noted.Seq == 0 {
					return usagef(cmd, "--head %q: %v", head, chain.ErrHead)
				}
				check.noted = noted
			}
			switch {
			case from < 1:
				return usagef(cmd, "--from %d: want 1 or more", from)
			case file != "" && cmd.Flags().Changed("from"):
				return usagef(cmd, "--from is for the server's rows: a file is verified from its first one on")
			case check.noted.Seq > 0 && check.noted.Seq < from:
				return usagef(cmd, "--head is a row before --from %d: it would not be looked at", from)
			case file != "":
				if err := check.file(cmd, file); err != nil {
					return err
				}
			default:
				if err := check.server(cmd, from); err != nil {
					return err
				}
			}
			return check.print(out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().Int64Var(&from, "from", 1, "begin with this row")
	cmd.Flags().StringVar(&head, "head", "", "a head that was noted before, as SEQ:HASH")
	cmd.Flags().StringVarP(&file, "file", "f", "", "verify the rows of this file; - is standard input")
	return cmd
}

// verification is one run of verify.
type verification struct {
	app   *App
	noted chain.Head

	first int64
	found model.AuditVerdict
}

// server asks for part after part.
func (v *verification) server(cmd *cobra.Command, from int64) error {
	c, _, err := v.app.client()
	if err != nil {
		return err
	}
	part := client.AuditPart{After: model.AuditHead{Seq: from - 1}, Noted: model.AuditHead{Seq: v.noted.Seq, Hash: v.noted.Hash}}
	v.first = from
	for {
		got, err := c.VerifyAudit(cmd.Context(), part)
		if err != nil {
			return err
		}
		v.found.Rows += got.Rows
		v.found.Last, v.found.Head, v.found.Done = got.Last, got.Head, got.Done
		v.found.Breaks = append(v.found.Breaks, got.Breaks...)
		if got.Done || len(v.found.Breaks) >= maxBreaks {
			return nil
		}
		if got.Last.Seq <= part.After.Seq {
			return &failure{code: client.ExitFailed, what: fmt.Sprintf("the server does not get on behind row %d", part.After.Seq)}
		}
		part.After = got.Last
		if v.found.Rows%rowsPerLine == 0 {
			v.app.say("%d rows verified, to row %d of %d", v.found.Rows, got.Last.Seq, got.Head.Seq)
		}
	}
}

// file verifies what waybill audit export wrote.
func (v *verification) file(cmd *cobra.Command, name string) error {
	in := v.app.Stdin
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // The user names the file.
		if err != nil {
			return &failure{code: client.ExitUsage, what: err.Error()}
		}
		defer f.Close() //nolint:errcheck // it is read only
		in = f
	}
	walk := chain.Walk{Noted: v.noted}
	v.found.Breaks = []model.AuditBreak{}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxRowBytes)
	for n := 1; lines.Scan(); n++ {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		var l chain.Link
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Seq < 1 {
			return &failure{code: client.ExitUsage, what: fmt.Sprintf("line %d of %s is no row that waybill audit export wrote", n, name)}
		}
		if walk.Rows == 0 {
			v.first = l.Seq
			if l.Seq == 1 {
				walk = chain.From(chain.Start())
				walk.Noted = v.noted
			}
		}
		v.add(walk.Step(l))
		if len(v.found.Breaks) >= maxBreaks {
			break
		}
		if walk.Rows%rowsPerLine == 0 {
			v.app.say("%d rows verified", walk.Rows)
		}
	}
	if err := lines.Err(); err != nil {
		return &failure{code: client.ExitUsage, what: fmt.Sprintf("read %s: %v", name, err)}
	}
	if walk.Rows == 0 {
		return &failure{code: client.ExitUsage, what: name + " has no rows"}
	}
	if v.noted.Seq > 0 && v.noted.Seq < v.first {
		return &failure{code: client.ExitUsage, what: fmt.Sprintf("%s begins with row %d, behind the row of --head", name, v.first)}
	}
	v.add(walk.End())
	v.found.Rows, v.found.Done = walk.Rows, true
	v.found.Last = model.AuditHead{Seq: walk.Last.Seq, Hash: walk.Last.Hash}
	v.found.Head = v.found.Last
	return nil
}

func (v *verification) add(breaks []chain.Break) {
	for _, b := range breaks {
		v.found.Breaks = append(v.found.Breaks, model.AuditBreak{Seq: b.Seq, Kind: model.AuditBreakKind(b.Kind), Detail: b.Detail})
	}
}

// errBroken ends with the code for "the answer is no": everything is said.
func errBroken() error { return &failure{code: client.ExitFailed} }

func (v *verification) print(out *output) error {
	f := &v.found
	if out.isMachine() {
		if err := out.encode(v.app.Stdout, f); err != nil {
			return err
		}
		if len(f.Breaks) > 0 {
			return errBroken()
		}
		return nil
	}
	if len(f.Breaks) > 0 {
		t := table{heads: []string{"ROW", "HOW", "WHAT"}}
		for _, b := range f.Breaks {
			t.add(text(fmt.Sprint(b.Seq)), text(string(b.Kind)), text(b.Detail))
		}
		if err := v.app.printTable(t); err != nil {
			return err
		}
		more := ""
		if len(f.Breaks) >= maxBreaks {
			more = "; there may be more"
		}
		return &failure{code: client.ExitFailed, what: fmt.Sprintf("the audit trail is not as it was written: %d breaks in %d rows%s", len(f.Breaks), f.Rows, more)}
	}
	if f.Rows == 0 {
		return v.app.print("There are no rows.")
	}
	if err := v.app.print("%d rows, %d to %d: every one is as it was written.", f.Rows, v.first, f.Last.Seq); err != nil {
		return err
	}
	return v.app.print("head: %d:%s", f.Last.Seq, f.Last.Hash)
}

func (a *App) auditExportCommand() *cobra.Command {
	var since string
	var from int64
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print the audit trail with its hashes, a row per line",
		Long: `Print the audit trail with its hashes, the oldest row first, as lines of JSON (NDJSON):
{"seq":1,"prev":"…","hash":"…","entry":{…}}. waybill audit verify -f verifies them, and so can
anybody else: hash is the SHA-256 of the canonical JSON (RFC 8785) of entry, prev and seq, and
entry is printed in that form. For administrators.`,
		Example: `  waybill audit export > audit.jsonl
  waybill audit export --since 30d
  waybill audit export --from 413 >> audit.jsonl     # what came since row 412`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from < 1 {
				return usagef(cmd, "--from %d: want 1 or more", from)
			}
			at, err := a.past(since)
			if err != nil {
				return usagef(cmd, "--since %v", err)
			}
			c, _, err := a.client()
			if err != nil {
				return err
			}
			return a.exportAudit(cmd, c, from-1, at)
		},
	}
	outputFlag(cmd, "jsonl")
	cmd.Flags().StringVar(&since, "since", "", "begin with the first row that tells of this time or later, or how long ago, as 2h or 7d")
	cmd.Flags().Int64Var(&from, "from", 1, "begin with this row")
	return cmd
}

func (a *App) exportAudit(cmd *cobra.Command, c *client.Client, after int64, since time.Time) error {
	w := bufio.NewWriter(a.Stdout)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for {
		got, err := c.AuditChain(cmd.Context(), after, since)
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		for _, r := range got.Items {
			if r.Seq <= after {
				return errors.Join(&failure{code: client.ExitFailed, what: fmt.Sprintf("the server does not get on behind row %d", after)}, w.Flush())
			}
			after = r.Seq
			if content, err := chain.Canonical(r.Entry); err == nil { // else verify says so
				r.Entry = content
			}
			if err := lines.Encode(chain.Link{Seq: r.Seq, Prev: r.Prev, Hash: r.Hash, Entry: r.Entry}); err != nil {
				return fmt.Errorf("write rows: %w", err)
			}
		}
		if len(got.Items) == 0 {
			if err := w.Flush(); err != nil {
				return fmt.Errorf("write rows: %w", err)
			}
			return nil
		}
		since = time.Time{} // rows behind it may tell of earlier times
	}
}
