package rest

import (
	"encoding/base64"
	"encoding/json"

	"github.com/waybill-dev/waybill/api/rest/model"
)

const defaultPage = 50

// pageToken says after which item the next page begins. It is opaque to
// clients; what it names need not exist any more.
type pageToken struct {
	// After is the key of the last item of the page before.
	After string `json:"a"`
}

// paginate returns one page of items, which are in the order of the list, and
// the token of the next one ("" on the last). key must be unique; isAfter
// reports whether an item comes after a key that may be gone.
func paginate[T any](items []T, limit int, token string, key func(T) string, isAfter func(item T, key string) bool) ([]T, string, error) {
	if limit == 0 {
		limit = defaultPage
	}
	start := 0
	if token != "" {
		var t pageToken
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(raw, &t) != nil || t.After == "" {
			return nil, "", refuse(model.InvalidRequest, "page is not one this API gave")
		}
		for start < len(items) && !isAfter(items[start], t.After) {
			start++
		}
	}
	end := min(len(items), start+limit)
	page := items[start:end]
	if end == len(items) {
		return page, "", nil
	}
	raw, err := json.Marshal(pageToken{After: key(page[len(page)-1])})
	if err != nil {
		return nil, "", err
	}
	return page, base64.RawURLEncoding.EncodeToString(raw), nil
}

// afterKey makes isAfter for lists whose order is that of a comparable key.
func afterKey[T any](key func(T) string, descending bool) func(T, string) bool {
	return func(item T, last string) bool {
		if descending {
			return key(item) < last
		}
		return key(item) > last
	}
}
