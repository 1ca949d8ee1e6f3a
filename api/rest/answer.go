package rest

import (
	"context"
	"encoding/json"
	"net/http"
)

type requestKey struct{}

// withRequest keeps the request for the few handlers that need more than its
// parameters.
func withRequest(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

func requestOf(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeRaw(w, status, data)
}

func writeRaw(w http.ResponseWriter, status int, data []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := w.Write(data)
	return err
}

// rawPage is a page model that is encoded already.
type rawPage []byte

// VisitGetPipelineResponse writes the page.
func (p rawPage) VisitGetPipelineResponse(w http.ResponseWriter) error {
	return writeRaw(w, http.StatusOK, p)
}

// VisitListProjectsResponse writes the page.
func (p rawPage) VisitListProjectsResponse(w http.ResponseWriter) error {
	return writeRaw(w, http.StatusOK, p)
}

// VisitInboxResponse writes the page.
func (p rawPage) VisitInboxResponse(w http.ResponseWriter) error {
	return writeRaw(w, http.StatusOK, p)
}

// VisitGetPromotionResponse writes the page.
func (p rawPage) VisitGetPromotionResponse(w http.ResponseWriter) error {
	return writeRaw(w, http.StatusOK, p)
}

// VisitOpenapiResponse writes the document.
func (p rawPage) VisitOpenapiResponse(w http.ResponseWriter) error {
	return writeRaw(w, http.StatusOK, p)
}
