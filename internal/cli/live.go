package cli

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// width returns the columns of the terminal; 0 when they are not known.
func (a *App) width() int {
	if f, ok := a.Stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	columns, err := strconv.Atoi(a.Getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return columns
}

// cut shortens a line to width columns; colour codes take none. A width of 0
// cuts nothing.
func cut(line string, width int) string {
	if width <= 0 {
		return line
	}
	var b strings.Builder
	columns, isCode, coloured := 0, false, false
	for _, r := range line {
		switch {
		case isCode:
			isCode = r != 'm'
		case r == '\x1b':
			isCode, coloured = true, true
		case columns == width-1:
			b.WriteString("…")
			if coloured {
				b.WriteString("\x1b[0m")
			}
			return b.String()
		default:
			columns++
		}
		b.WriteRune(r)
	}
	return b.String()
}
