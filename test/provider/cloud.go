package provider

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Transport sends what is meant for the hosts of Bitbucket Cloud and Azure DevOps
// to this server, and everything else where it is meant for.
func (s *Server) Transport() http.RoundTripper { return toServer{s.Addr()} }

type toServer struct{ addr string }

// RoundTrip sends r.
func (t toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	prefix, isOurs := map[string]string{"api.bitbucket.org": "/api/bitbucket", "dev.azure.com": "/api/azure"}[r.URL.Host]
	if isOurs {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.URL.Path, r.URL.RawPath = "http", t.addr, prefix+r.URL.Path, ""
	}
	return http.DefaultTransport.RoundTrip(r)
}

// hashOf is a hash as Bitbucket shortens it.
func hashOf(hash string) map[string]any { return map[string]any{"hash": hash[:min(12, len(hash))]} }

func (s *Server) bitbucket(w http.ResponseWriter, r *http.Request, repo string, rest []string) {
	refuse := func(status int, why any) {
		say(w, status, map[string]any{"type": "error", "error": map[string]any{"message": fmt.Sprint(why)}})
	}
	user, password, _ := r.BasicAuth()
	if r.Header.Get("Authorization") != "Bearer "+Token && !(user != "" && password == Token) {
		refuse(http.StatusUnauthorized, "Token is invalid, expired, or not supported for this endpoint.")
		return
	}
	switch {
	case rest[0] == "commit" && len(rest) == 2:
		say(w, http.StatusOK, map[string]any{"hash": strings.TrimSpace(s.Git(repo, "rev-parse", rest[1]+"^{commit}"))})
	case rest[0] == "commit" && len(rest) == 4 && rest[2] == "statuses" && rest[3] == "build":
		in := read(r)
		if text(in["url"]) == "" || text(in["key"]) == "" || len(text(in["key"])) > 40 {
			refuse(http.StatusBadRequest, "key and url are required")
			return
		}
		s.statuses = append(s.statuses, Status{rest[1], text(in["state"]), text(in["name"]), text(in["description"]), text(in["url"])})
		say(w, http.StatusCreated, map[string]any{})
	case rest[0] != "pullrequests":
		refuse(http.StatusNotFound, "Not found")
	case len(rest) == 1 && r.Method == http.MethodGet:
		out := []any{}
		for _, p := range s.find(repo, "", "") {
			if r.URL.Query().Get("q") == fmt.Sprintf("source.branch.name = %q AND destination.branch.name = %q", p.Source, p.Target) && slices.Contains(r.URL.Query()["state"], bitbucketState(p)) {
				out = append(out, s.bitbucketPull(p))
			}
		}
		say(w, http.StatusOK, map[string]any{"values": out})
	case len(rest) == 1:
		in := read(r)
		p, err := s.open(Pull{Repo: repo, Source: nested(in, "source", "branch", "name"), Target: nested(in, "destination", "branch", "name"), Title: text(in["title"]), Body: text(in["description"])})
		if err != nil {
			refuse(http.StatusBadRequest, err)
		} else if !s.isLost(w) {
			say(w, http.StatusCreated, s.bitbucketPull(p))
		}
	case s.pull(number(rest, 1)) == nil:
		refuse(http.StatusNotFound, "Not found")
	case len(rest) == 2:
		say(w, http.StatusOK, s.bitbucketPull(s.pull(number(rest, 1))))
	default:
		in, p := read(r), s.pull(number(rest, 1))
		method := map[string]string{"": "merge", "merge_commit": "merge", "squash": "squash", "rebase_fast_forward": "rebase"}[text(in["merge_strategy"])]
		if err := s.merge(p, method, text(in["message"]), ""); err != nil {
			refuse(http.StatusBadRequest, err)
			return
		}
		say(w, http.StatusOK, s.bitbucketPull(p))
	}
}

func bitbucketState(p *Pull) string {
	switch {
	case p.IsMerged:
		return "MERGED"
	case p.IsClosed:
		return "DECLINED"
	default:
		return "OPEN"
	}
}

// bitbucketPull shortens hashes, as Bitbucket does.
func (s *Server) bitbucketPull(p *Pull) map[string]any {
	out := map[string]any{
		"id": p.Number, "title": p.Title, "description": p.Body, "state": bitbucketState(p),
		"source":      map[string]any{"branch": map[string]any{"name": p.Source}, "commit": hashOf(p.Head)},
		"destination": map[string]any{"branch": map[string]any{"name": p.Target}},
		"links":       map[string]any{"html": map[string]any{"href": s.page(p)}},
	}
	if p.IsMerged {
		out["merge_commit"] = hashOf(p.MergeCommit)
	}
	return out
}

// nested reads a text below several keys.
func nested(v map[string]any, keys ...string) string {
	for _, k := range keys[:len(keys)-1] {
		v, _ = v[k].(map[string]any)
	}
	return text(v[keys[len(keys)-1]])
}

const (
	azureRef = "refs/heads/"
	// maxAzureBody bounds a description, and azureListed what a list shows of it.
	maxAzureBody, azureListed = 4000, 400
)

func (s *Server) azure(w http.ResponseWriter, r *http.Request, repo string, rest []string) {
	if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+Token)) {
		w.WriteHeader(http.StatusNonAuthoritativeInfo) // a page to sign in
		return
	}
	if r.URL.Query().Get("api-version") == "" {
		refuse(w, http.StatusBadRequest, "No api-version was supplied")
		return
	}
	switch {
	case rest[0] == "commits" && len(rest) == 3 && rest[2] == "statuses":
		in := read(r)
		name := nested(in, "context", "genre") + "/" + nested(in, "context", "name")
		s.statuses = append(s.statuses, Status{rest[1], text(in["state"]), name, text(in["description"]), text(in["targetUrl"])})
		say(w, http.StatusCreated, map[string]any{})
	case rest[0] != "pullrequests":
		refuse(w, http.StatusNotFound, "TF401019")
	case len(rest) == 1 && r.Method == http.MethodGet:
		q, out := r.URL.Query(), []any{}
		for _, p := range s.find(repo, strings.TrimPrefix(q.Get("searchCriteria.sourceRefName"), azureRef), strings.TrimPrefix(q.Get("searchCriteria.targetRefName"), azureRef)) {
			if m := s.azurePull(p); q.Get("searchCriteria.status") == "all" {
				m["description"] = string([]rune(p.Body)[:min(len([]rune(p.Body)), azureListed)])
				out = append(out, m)
			}
		}
		say(w, http.StatusOK, map[string]any{"value": out, "count": len(out)})
	case len(rest) == 1:
		in := read(r)
		if len([]rune(text(in["description"]))) > maxAzureBody {
			refuse(w, http.StatusBadRequest, "TF401180: The description is too long.")
			return
		}
		p, err := s.open(Pull{Repo: repo, Source: strings.TrimPrefix(text(in["sourceRefName"]), azureRef), Target: strings.TrimPrefix(text(in["targetRefName"]), azureRef), Title: text(in["title"]), Body: text(in["description"])})
		if err != nil {
			refuse(w, http.StatusConflict, err)
			return
		}
		labels, _ := in["labels"].([]any)
		for _, l := range labels {
			m, _ := l.(map[string]any)
			p.Labels = append(p.Labels, text(m["name"]))
		}
		if !s.isLost(w) {
			say(w, http.StatusCreated, s.azurePull(p))
		}
	case s.pull(number(rest, 1)) == nil:
		refuse(w, http.StatusNotFound, "TF401180: The requested pull request was not found.")
	case r.Method == http.MethodGet:
		say(w, http.StatusOK, s.azurePull(s.pull(number(rest, 1))))
	default:
		s.completeAzure(w, read(r), s.pull(number(rest, 1)))
	}
}

// completeAzure merges, or answers that a policy is in the way.
func (s *Server) completeAzure(w http.ResponseWriter, in map[string]any, p *Pull) {
	if nested(in, "lastMergeSourceCommit", "commitId") != p.Head {
		refuse(w, http.StatusConflict, "TF401192: The source branch has been updated.")
		return
	}
	options, _ := in["completionOptions"].(map[string]any)
	method := map[string]string{"": "merge", "noFastForward": "merge", "squash": "squash", "rebase": "rebase"}[text(options["mergeStrategy"])]
	err := s.merge(p, method, text(options["mergeCommitMessage"]), "")
	out := s.azurePull(p)
	if err != nil {
		out["mergeStatus"] = "rejectedByPolicy"
	}
	say(w, http.StatusOK, out)
}

func (s *Server) azurePull(p *Pull) map[string]any {
	out := map[string]any{
		"pullRequestId": p.Number, "title": p.Title, "description": p.Body, "status": "active", "mergeStatus": "succeeded",
		"sourceRefName": azureRef + p.Source, "targetRefName": azureRef + p.Target, "lastMergeSourceCommit": map[string]any{"commitId": p.Head},
	}
	switch {
	case p.IsMerged:
		out["status"], out["lastMergeCommit"] = "completed", map[string]any{"commitId": p.MergeCommit}
	case p.IsClosed:
		out["status"] = "abandoned"
	}
	return out
}
