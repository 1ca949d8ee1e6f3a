package demoregistry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
)

// serveTags answers with one page of tags in byte order, a Link to the next and
// an ETag (OCI distribution specification, "Listing Tags").
func (s *Server) serveTags(w http.ResponseWriter, r *http.Request, repo string) {
	tags, answer := s.store.tags(repo)
	if answer.status != http.StatusOK {
		answer.copyTo(w)
		return
	}
	q := r.URL.Query()
	n := len(tags)
	if raw := q.Get("n"); raw != "" {
		asked, err := strconv.Atoi(raw)
		if err != nil || asked < 0 {
			writeError(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is not a number")
			return
		}
		n = asked
	}
	if s.opts.MaxPage > 0 {
		n = min(n, s.opts.MaxPage)
	}
	if last := q.Get("last"); last != "" {
		tags = tags[sort.Search(len(tags), func(i int) bool { return tags[i] > last }):]
	}
	if n < len(tags) {
		tags = tags[:n]
		if n > 0 {
			next := url.Values{"n": {strconv.Itoa(n)}, "last": {tags[n-1]}}
			w.Header().Set("Link", fmt.Sprintf(`</v2/%s/tags/list?%s>; rel="next"`, repo, next.Encode()))
		}
	}
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{repo, append([]string{}, tags...)})
	if err != nil {
		writeError(w, http.StatusInternalServerError, "UNKNOWN", "the list could not be written")
		return
	}
	if !s.opts.WithoutETag {
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client is gone if this fails
}

// tags returns all tags of repo in byte order, or the error answer to pass on.
func (s *store) tags(repo string) ([]string, *recorder) {
	answer := newRecorder()
	req, err := http.NewRequest(http.MethodGet, (&url.URL{Path: "/v2/" + repo + "/tags/list"}).String(), nil)
	if err != nil {
		writeError(answer, http.StatusBadRequest, "NAME_INVALID", "the repository name is not valid")
		return nil, answer
	}
	s.inner.ServeHTTP(answer, req)
	if answer.status != http.StatusOK {
		return nil, answer
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(answer.body.Bytes(), &list); err != nil {
		answer = newRecorder()
		writeError(answer, http.StatusInternalServerError, "UNKNOWN", "the list could not be read")
		return nil, answer
	}
	return list.Tags, answer
}
