package promotion

import (
	"fmt"
	"regexp"

	"github.com/waybill-dev/waybill/internal/expression"
)

// MaxMessage bounds the text of a message, in bytes.
const MaxMessage = 16 << 10

// channelName is what the name of a Secret may be.
var channelName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// checkSendMessage returns what would fail when the step send-message runs.
func checkSendMessage(config map[string]any) []string {
	var out []string
	if name, _ := config["channel"].(string); !expression.Has(name) && !channelName.MatchString(name) {
		out = append(out, fmt.Sprintf("channel %.80q is no name of a Secret", name))
	}
	if text, _ := config["message"].(string); !expression.Has(text) && len(text) > MaxMessage {
		out = append(out, fmt.Sprintf("message has %d bytes, more than %d", len(text), MaxMessage))
	}
	return out
}
