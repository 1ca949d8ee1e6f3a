package warehouse

import (
	"cmp"
	"regexp"
	"strings"
)

// numberSyntax is a decimal number: 7, 0042, 7.50.
var numberSyntax = regexp.MustCompile(`^([0-9]+)(?:\.([0-9]+))?$`)

// number is a decimal number of any length, kept as digits: a float would take
// two long build numbers for one.
type number struct {
	whole    string // without leading zeros
	fraction string // without trailing zeros
}

func parseNumber(s string) (number, bool) {
	m := numberSyntax.FindStringSubmatch(s)
	if m == nil {
		return number{}, false
	}
	return number{strings.TrimLeft(m[1], "0"), strings.TrimRight(m[2], "0")}, true
}

func (n number) compare(other number) int {
	return cmp.Or(cmp.Compare(len(n.whole), len(other.whole)), strings.Compare(n.whole, other.whole),
		strings.Compare(n.fraction, other.fraction))
}
