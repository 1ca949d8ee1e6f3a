package promotion

import (
	"fmt"
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

// NextSeq returns 1 + the highest number ever used in the Stage.
func NextSeq(stage *v1alpha1.Stage, promotions []v1alpha1.Promotion) int64 {
	highest := stage.Status.LastSeq
	for i := range promotions {
		if promotions[i].Spec.Stage == stage.Name {
			highest = max(highest, Seq(promotions[i].Name))
		}
	}
	return highest + 1
}
