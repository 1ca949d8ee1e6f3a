package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serve answers a call of one of the APIs.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	for i := range parts {
		parts[i], _ = url.PathUnescape(parts[i])
	}
	if s.down {
		say(w, http.StatusServiceUnavailable, map[string]any{"message": "down"})
		return
	}
	switch {
	case len(parts) > 5 && parts[1] == "v3" && parts[2] == "repos" && parts[3] == Owner:
		s.gitHub(w, r, parts[4], parts[5:])
	case len(parts) > 4 && parts[1] == "v4" && parts[2] == "projects" && strings.HasPrefix(parts[3], Owner+"/"):
		s.gitLab(w, r, strings.TrimPrefix(parts[3], Owner+"/"), parts[4:])
	case len(parts) > 5 && parts[1] == "v1" && parts[2] == "repos" && parts[3] == Owner:
		s.gitea(w, r, parts[4], parts[5:])
	case len(parts) > 6 && parts[1] == "bitbucket" && parts[2] == "2.0" && parts[3] == "repositories" && parts[4] == Owner:
		s.bitbucket(w, r, parts[5], parts[6:])
	case len(parts) > 8 && parts[1] == "azure" && parts[3] == Owner && parts[4] == "_apis" && parts[5] == "git" && parts[6] == "repositories":
		s.azure(w, r, parts[7], parts[8:])
	default:
		say(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers that something cannot be.
func refuse(w http.ResponseWriter, status int, why any) {
	say(w, status, map[string]any{"message": fmt.Sprint(why)})
}

// isLost breaks the connection when the answer is to be lost.
func (s *Server) isLost(w http.ResponseWriter) bool {
	if s.dropped == 0 {
		return false
	}
	s.dropped--
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			_ = c.Close()
			return true
		}
	}
	panic(http.ErrAbortHandler)
}

func read(r *http.Request) map[string]any {
	out := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&out)
	return out
}

func text(v any) string {
	t, _ := v.(string)
	return t
}

func number(parts []string, at int) int {
	if len(parts) <= at {
		return 0
	}
	n, _ := strconv.Atoi(parts[at])
	return n
}

func (s *Server) gitHub(w http.ResponseWriter, r *http.Request, repo string, rest []string) {
	if r.Header.Get("Authorization") != "Bearer "+Token {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	switch {
	case rest[0] == "pulls" && len(rest) == 1 && r.Method == http.MethodGet:
		q := r.URL.Query()
		out := []any{}
		for _, p := range s.find(repo, strings.TrimPrefix(q.Get("head"), Owner+":"), q.Get("base")) {
			out = append(out, s.gitHubPull(p, true))
		}
		say(w, http.StatusOK, out)
	case rest[0] == "pulls" && len(rest) == 1 && r.Method == http.MethodPost:
		in := read(r)
		p, err := s.open(Pull{Repo: repo, Source: text(in["head"]), Target: text(in["base"]), Title: text(in["title"]), Body: text(in["body"])})
		if err != nil {
			say(w, http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed", "errors": []any{map[string]any{"resource": "PullRequest", "code": "custom", "message": err.Error()}}})
		} else if !s.isLost(w) {
			say(w, http.StatusCreated, s.gitHubPull(p, false))
		}
	case rest[0] == "issues" && len(rest) == 3 && rest[2] == "labels":
		var labels []string
		_ = json.NewDecoder(r.Body).Decode(&labels)
		if p := s.pull(number(rest, 1)); p != nil {
			p.Labels = append(p.Labels, labels...)
		}
		say(w, http.StatusOK, []any{})
	case rest[0] == "statuses" && len(rest) == 2:
		in := read(r)
		s.statuses = append(s.statuses, Status{rest[1], text(in["state"]), text(in["context"]), text(in["description"]), text(in["target_url"])})
		say(w, http.StatusCreated, map[string]any{})
	case s.pull(number(rest, 1)) == nil:
		refuse(w, http.StatusNotFound, "Not Found")
	case len(rest) == 2:
		say(w, http.StatusOK, s.gitHubPull(s.pull(number(rest, 1)), false))
	case len(rest) == 3 && rest[2] == "merge":
		in, p := read(r), s.pull(number(rest, 1))
		method := text(in["merge_method"])
		if method == "" {
			method = "merge"
		}
		switch sha := text(in["sha"]); {
		case sha != "" && sha != p.Head:
			refuse(w, http.StatusConflict, "Head branch was modified. Review and try the merge again.")
		default:
			if err := s.merge(p, method, text(in["commit_title"]), text(in["commit_message"])); err != nil {
				refuse(w, http.StatusMethodNotAllowed, err)
				return
			}
			say(w, http.StatusOK, map[string]any{"merged": true, "sha": p.MergeCommit})
		}
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

// gitHubPull leaves merged out of lists, as GitHub does.
func (s *Server) gitHubPull(p *Pull, inList bool) map[string]any {
	out := map[string]any{
		"number": p.Number, "html_url": s.page(p), "title": p.Title, "body": p.Body, "state": "open",
		"head": map[string]any{"ref": p.Source, "sha": p.Head}, "base": map[string]any{"ref": p.Target},
	}
	if p.IsClosed {
		out["state"] = "closed"
	}
	if p.IsMerged {
		out["merged_at"], out["merge_commit_sha"] = p.mergedAt, p.MergeCommit
	}
	if !inList {
		out["merged"] = p.IsMerged
	}
	return out
}

// page is where people see the pull request.
func (s *Server) page(p *Pull) string {
	return fmt.Sprintf("http://%s/%s/%s/pulls/%d", s.Addr(), Owner, p.Repo, p.Number)
}

func (s *Server) gitLab(w http.ResponseWriter, r *http.Request, repo string, rest []string) {
	if r.Header.Get("Private-Token") != Token {
		refuse(w, http.StatusUnauthorized, "401 Unauthorized")
		return
	}
	switch {
	case rest[0] == "statuses" && len(rest) == 2:
		in := read(r)
		if last := s.lastStatus(rest[1], text(in["context"])); last == text(in["state"]) {
			refuse(w, http.StatusBadRequest, "Cannot transition status via :enqueue from :"+last)
			return
		}
		s.statuses = append(s.statuses, Status{rest[1], text(in["state"]), text(in["context"]), text(in["description"]), text(in["target_url"])})
		say(w, http.StatusCreated, map[string]any{})
	case rest[0] == "repository" && len(rest) == 4 && rest[3] == "statuses":
		out := []any{}
		if last := s.lastStatus(rest[2], r.URL.Query().Get("name")); last != "" {
			out = append(out, map[string]any{"status": last})
		}
		say(w, http.StatusOK, out)
	case rest[0] != "merge_requests":
		refuse(w, http.StatusNotFound, "404 Not Found")
	case len(rest) == 1 && r.Method == http.MethodGet:
		q := r.URL.Query()
		out := []any{}
		for _, p := range s.find(repo, q.Get("source_branch"), q.Get("target_branch")) {
			out = append(out, s.gitLabPull(p))
		}
		say(w, http.StatusOK, out)
	case len(rest) == 1:
		in := read(r)
		p, err := s.open(Pull{Repo: repo, Source: text(in["source_branch"]), Target: text(in["target_branch"]), Title: text(in["title"]), Body: text(in["description"])})
		if err != nil {
			say(w, http.StatusConflict, map[string]any{"message": []any{err.Error()}})
			return
		}
		if labels := text(in["labels"]); labels != "" {
			p.Labels = strings.Split(labels, ",")
		}
		if !s.isLost(w) {
			say(w, http.StatusCreated, s.gitLabPull(p))
		}
	case s.pull(number(rest, 1)) == nil:
		refuse(w, http.StatusNotFound, "404 Not Found")
	case len(rest) == 2:
		say(w, http.StatusOK, s.gitLabPull(s.pull(number(rest, 1))))
	default:
		in, p := read(r), s.pull(number(rest, 1))
		if sha := text(in["sha"]); sha != "" && sha != p.Head {
			refuse(w, http.StatusConflict, "SHA does not match HEAD of source branch")
			return
		}
		method, title := "merge", text(in["merge_commit_message"])
		if in["squash"] == true {
			method, title = "squash", text(in["squash_commit_message"])
		}
		if err := s.merge(p, method, title, ""); err != nil {
			refuse(w, http.StatusMethodNotAllowed, "405 Method Not Allowed")
			return
		}
		say(w, http.StatusOK, s.gitLabPull(p))
	}
}

// lastStatus is the state that a commit has under a name; "" without one.
func (s *Server) lastStatus(commit, name string) string {
	for _, st := range slices.Backward(s.statuses) {
		if st.Commit == commit && st.Context == name {
			return st.State
		}
	}
	return ""
}

func (s *Server) gitLabPull(p *Pull) map[string]any {
	out := map[string]any{
		"id": 1000 + p.Number, "iid": p.Number, "web_url": s.page(p), "title": p.Title, "description": p.Body, "state": "opened",
		"source_branch": p.Source, "target_branch": p.Target, "sha": p.Head,
	}
	if p.IsClosed {
		out["state"] = "closed"
	}
	if p.IsMerged {
		out["state"], out["merge_commit_sha"] = "merged", p.MergeCommit
	}
	return out
}

func (s *Server) gitea(w http.ResponseWriter, r *http.Request, repo string, rest []string) {
	if r.Header.Get("Authorization") != "token "+Token {
		refuse(w, http.StatusUnauthorized, "user does not exist")
		return
	}
	switch {
	case rest[0] == "statuses" && len(rest) == 2:
		in := read(r)
		s.statuses = append(s.statuses, Status{rest[1], text(in["state"]), text(in["context"]), text(in["description"]), text(in["target_url"])})
		say(w, http.StatusCreated, map[string]any{})
	case rest[0] == "labels":
		say(w, http.StatusOK, []any{map[string]any{"id": 7, "name": "release"}})
	case rest[0] != "pulls":
		refuse(w, http.StatusNotFound, "not found")
	case len(rest) == 1 && r.Method == http.MethodGet:
		out := []any{}
		if page := r.URL.Query().Get("page"); page == "" || page == "1" {
			for _, p := range s.find(repo, "", "") {
				out = append(out, s.giteaPull(p))
			}
		}
		say(w, http.StatusOK, out)
	case len(rest) == 1:
		in := read(r)
		p, err := s.open(Pull{Repo: repo, Source: text(in["head"]), Target: text(in["base"]), Title: text(in["title"]), Body: text(in["body"])})
		if err != nil {
			refuse(w, http.StatusConflict, err)
			return
		}
		if labels, _ := in["labels"].([]any); slices.Contains(labels, any(7.0)) {
			p.Labels = []string{"release"}
		}
		if !s.isLost(w) {
			say(w, http.StatusCreated, s.giteaPull(p))
		}
	case s.pull(number(rest, 1)) == nil:
		refuse(w, http.StatusNotFound, "not found")
	case len(rest) == 2:
		say(w, http.StatusOK, s.giteaPull(s.pull(number(rest, 1))))
	default:
		in, p := read(r), s.pull(number(rest, 1))
		if sha := text(in["head_commit_id"]); sha != "" && sha != p.Head {
			refuse(w, http.StatusConflict, "head out of date")
			return
		}
		if err := s.merge(p, text(in["Do"]), text(in["MergeTitleField"]), text(in["MergeMessageField"])); err != nil {
			refuse(w, http.StatusMethodNotAllowed, err)
			return
		}
		w.WriteHeader(http.StatusOK)
	}
}

// giteaPull names the branch of the source in label alone once it is merged, as
// Gitea does when that branch is deleted.
func (s *Server) giteaPull(p *Pull) map[string]any {
	ref := p.Source
	if p.IsMerged {
		ref = fmt.Sprintf("refs/pull/%d/head", p.Number)
	}
	out := map[string]any{
		"id": 1000 + p.Number, "number": p.Number, "html_url": s.page(p), "title": p.Title, "body": p.Body, "state": "open",
		"head": map[string]any{"label": p.Source, "ref": ref, "sha": p.Head}, "base": map[string]any{"label": p.Target, "ref": p.Target},
		"merged": p.IsMerged,
	}
	if p.IsClosed {
		out["state"] = "closed"
	}
	if p.IsMerged {
		out["merged_at"], out["merge_commit_sha"] = p.mergedAt, p.MergeCommit
	}
	return out
}
