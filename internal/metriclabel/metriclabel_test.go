package metriclabel_test

import (
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/internal/metriclabel"
)

func TestBounded(t *testing.T) {
	b := metriclabel.NewBounded(2)
	for range 2 {
		if got := fmt.Sprint(b.Value("a"), b.Value("b"), b.Value("c")); got != "abother" {
			t.Errorf("got %q", got)
		}
	}
}
