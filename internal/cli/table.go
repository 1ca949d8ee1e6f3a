package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// cell is text with an optional colour; the colour never carries meaning alone.
type cell struct {
	text  string
	style style
	// isBlank leaves the cell empty instead of showing a dash.
	isBlank bool
	// isVerbatim keeps the spaces of the text, which then is one line already.
	isVerbatim bool
}

// style is an ANSI "select graphic rendition" code; empty is plain.
type style string

const (
	plain  style = ""
	dim    style = "2"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	blue   style = "34"
	violet style = "35"
)

func text(s string) cell { return cell{text: s} }

// blank is a cell of a line that continues the one above.
func blank() cell { return cell{isBlank: true} }

// shown is how the cell appears: on one line, a dash when there is nothing.
func (c cell) shown() string {
	if c.text == "" && !c.isBlank {
		return "-"
	}
	if c.isVerbatim {
		return c.text
	}
	return strings.Join(strings.Fields(c.text), " ")
}

// table is rows of cells under a heading, in columns as wide as their widest cell.
type table struct {
	heads []string
	rows  [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write prints the table. An empty cell is shown as a dash, so that columns
// can be told apart by programs that split on spaces.
func (t *table) write(w io.Writer, coloured bool) error {
	rows := t.rows
	if t.heads != nil {
		head := make([]cell, len(t.heads))
		for i, h := range t.heads {
			head[i] = cell{text: h, style: dim}
		}
		rows = append([][]cell{head}, rows...)
	}
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.shown()))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			s := c.shown()
			b.WriteString(paint(s, c.style, coloured))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func paint(s string, st style, coloured bool) string {
	if !coloured || st == plain {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}
