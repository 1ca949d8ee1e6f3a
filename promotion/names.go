package promotion

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// freightInName is how many characters of a Freight's name go into the name of
// its Promotions.
const freightInName = 8

// Name returns the name of the Promotion with number seq of freight into
// stage: <stage>.<seq>.<freight, 8 characters> (01-architecture, identity).
// The same arguments always give the same name, so that creating it twice is
// one object.
func Name(stage string, seq int64, freight string) string {
	if len(freight) > freightInName {
		freight = freight[:freightInName]
	}
	return fmt.Sprintf("%s.%d.%s", stage, seq, freight)
}

// Seq returns the number in a Promotion's name, or 0 for a name of another form.
func Seq(name string) int64 {
	parts := strings.Split(name, ".")
	if len(parts) < 3 {
		return 0
	}
	// A Stage's name has no dot, so the number is always the second part.
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Numbers that people choose may skip as many as they like up to freeSeq, and
// maxSkip at a time above it. A name has room for twelve digits: whoever may
// promote could otherwise use them up with one object, and then nothing could
// be promoted any more, nor rolled back.
const (
	freeSeq = 1_000_000_000
	maxSkip = 10_000
)

// HighestSeq returns the highest number used in the Stage, of its record and of
// its Promotions. A number that skips too many does not count.
func HighestSeq(stage *v1alpha1.Stage, promotions []v1alpha1.Promotion) int64 {
	var numbers []int64
	for i := range promotions {
		if promotions[i].Spec.Stage == stage.Name {
			numbers = append(numbers, Seq(promotions[i].Name))
		}
	}
	slices.Sort(numbers)
	highest := stage.Status.LastSeq
	for _, n := range numbers {
		if n <= max(freeSeq, highest+maxSkip) {
			highest = max(highest, n)
		}
	}
	return highest
}

// NextSeq returns 1 + the highest number ever used in the Stage.
func NextSeq(stage *v1alpha1.Stage, promotions []v1alpha1.Promotion) int64 {
	return HighestSeq(stage, promotions) + 1
}

// Reasons of a NumberCheck.
const (
	ReasonNumberTaken   = "NumberTaken"
	ReasonNumberTooHigh = "NumberTooHigh"
)

// NumberCheck says why a Promotion may not start under its number; the zero
// value means that it may.
type NumberCheck struct {
	// Reason is a word for programs, Message a sentence.
	Reason, Message string
	// By names the Promotion that has started under a higher number.
	By string
}

// CheckNumber returns whether a Promotion that waits may start under its
// number. What runs in a Stage is what the Promotion with the highest number
// wrote (01-architecture, identity), so none starts below one that has started.
func CheckNumber(o *Observation, p *v1alpha1.Promotion) NumberCheck {
	n := Seq(p.Name)
	if n > HighestSeq(o.Stage, o.Promotions) {
		return NumberCheck{Reason: ReasonNumberTooHigh, Message: fmt.Sprintf("number %d skips too many; the next is %d, and waybill promote finds it", n, NextSeq(o.Stage, o.Promotions))}
	}
	by, highest := "", n
	look := func(name string) {
		if s := Seq(name); s > highest {
			by, highest = name, s
		}
	}
	for i := range o.Promotions {
		if q := &o.Promotions[i]; q.Spec.Stage == o.Stage.Name && q.Status.StartedAt != nil {
			look(q.Name)
		}
	}
	for _, c := range o.Stage.Status.Current {
		look(c.Promotion)
	}
	if by == "" {
		return NumberCheck{}
	}
	return NumberCheck{Reason: ReasonNumberTaken, By: by, Message: fmt.Sprintf("%q started since, under a higher number; promote again if this is still wanted", by)}
}

// IsNewer reports whether a started after b: by number, and for two Promotions
// that were given one number at the same moment by the time they started.
func IsNewer(a, b *v1alpha1.Promotion) bool {
	if x, y := Seq(a.Name), Seq(b.Name); x != y {
		return x > y
	}
	x, y := a.Status.StartedAt, b.Status.StartedAt
	if x == nil || y == nil || x.Equal(y) {
		return a.Name > b.Name
	}
	return x.After(y.Time)
}
