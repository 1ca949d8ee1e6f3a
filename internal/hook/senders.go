package hook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/internal/repourl"
)

// parse reads a verified message. Structs hold only what is used; anything of
// another type is an error of the JSON decoder.
func (r *Receiver) parse(h Header, body []byte) (Event, error) {
	switch r.Sender {
	case GitHub:
		return readGitHub(h, body)
	case GitLab:
		return readGitLab(h, body)
	case Gitea:
		return readGitea(h, body)
	case Bitbucket:
		return readBitbucket(h, body)
	case Azure:
		return readAzure(body)
	case DockerHub:
		return readDockerHub(body)
	case Quay:
		return readQuay(body)
	case Harbor:
		return readHarbor(body)
	case ECR:
		return readECR(body)
	case Artifactory:
		return readArtifactory(body, r.virtualRepo)
	case Generic:
		return r.generic.read(h, body)
	default:
		return Event{}, fmt.Errorf("%w: sender %q is not known", ErrMalformed, r.Sender)
	}
}

// decode reads JSON. The decoder's own text is not repeated: it quotes the body.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: it is not JSON of the expected shape; set the content type to application/json", ErrMalformed)
	}
	return nil
}

// git returns a repository by all of its addresses.
func git(refs []string, urls ...string) []Repository {
	var out []Repository
	for _, u := range urls {
		if u != "" {
			out = append(out, Repository{Kind: Git, URL: u, Refs: refs})
		}
	}
	return out
}

// image returns an image repository by host and path.
func image(parts ...string) []Repository {
	for i, p := range parts {
		parts[i] = strings.Trim(p, "/")
		if parts[i] == "" {
			return nil
		}
	}
	return []Repository{{Kind: Image, URL: strings.Join(parts, "/")}}
}

// withoutTag removes tag and digest of an image reference.
func withoutTag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref
}

// hostOf returns the host of an http address.
func hostOf(raw string) string {
	host, _, _ := repourl.HostPath(raw)
	return host
}

// refs returns full names of references, or nil when one is not.
func refs(all ...string) []string {
	for _, r := range all {
		if !strings.HasPrefix(r, "refs/") {
			return nil
		}
	}
	return all
}

// pull is the target of a pull request, which its end changes.
type pull struct {
	Base struct {
		Ref string `json:"ref"`
	} `json:"base"`
}

func (p pull) refs() []string { return branch(p.Base.Ref) }

// branch returns the full name of a branch, or nil for none.
func branch(name string) []string {
	if name == "" {
		return nil
	}
	return []string{"refs/heads/" + name}
}

// readGitHub reads push, the end of a pull_request, package and registry_package
// (docs.github.com/webhooks/webhook-events-and-payloads).
func readGitHub(h Header, body []byte) (Event, error) {
	e := Event{ID: h("X-Github-Delivery"), Kind: h("X-Github-Event")}
	type pkg struct {
		Name        string `json:"name"`
		Namespace   string `json:"namespace"`
		PackageType string `json:"package_type"`
		Version     struct {
			URL string `json:"package_url"`
		} `json:"package_version"`
	}
	var m struct {
		Ref        string `json:"ref"`
		Repository struct {
			CloneURL string `json:"clone_url"`
			SSHURL   string `json:"ssh_url"`
		} `json:"repository"`
		Package         pkg    `json:"package"`
		RegistryPackage pkg    `json:"registry_package"`
		Action          string `json:"action"`
		PullRequest     pull   `json:"pull_request"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	p := m.Package
	switch e.Kind {
	case "push":
		e.Repositories = git(refs(m.Ref), m.Repository.CloneURL, m.Repository.SSHURL)
		return e, nil
	case "pull_request":
		if m.Action == "closed" { // merged or not
			e.Repositories = git(m.PullRequest.refs(), m.Repository.CloneURL, m.Repository.SSHURL)
		}
		return e, nil
	case "registry_package":
		p = m.RegistryPackage
	case "package":
	default: // ping and everything else
		return e, nil
	}
	if !strings.EqualFold(p.PackageType, "container") && !strings.EqualFold(p.PackageType, "docker") {
		return e, nil
	}
	if ref := withoutTag(p.Version.URL); ref != "" {
		e.Repositories = image(ref)
	} else {
		e.Repositories = image("ghcr.io", p.Namespace, p.Name)
	}
	return e, nil
}

// readGitLab reads push, tag_push and the end of a merge_request (docs.gitlab.com, webhook events).
func readGitLab(h Header, body []byte) (Event, error) {
	e := Event{ID: h("X-Gitlab-Event-Uuid")}
	var m struct {
		ObjectKind string `json:"object_kind"`
		Ref        string `json:"ref"`
		Project    struct {
			HTTPURL string `json:"git_http_url"`
			SSHURL  string `json:"git_ssh_url"`
		} `json:"project"`
		Attributes struct {
			Action       string `json:"action"`
			TargetBranch string `json:"target_branch"`
		} `json:"object_attributes"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	if e.Kind = m.ObjectKind; e.Kind == "push" || e.Kind == "tag_push" {
		e.Repositories = git(refs(m.Ref), m.Project.HTTPURL, m.Project.SSHURL)
	} else if e.Kind == "merge_request" && (m.Attributes.Action == "merge" || m.Attributes.Action == "close") {
		e.Repositories = git(branch(m.Attributes.TargetBranch), m.Project.HTTPURL, m.Project.SSHURL)
	}
	return e, nil
}

// readGitea reads push, create, the end of a pull_request and package of Gitea and Forgejo.
func readGitea(h Header, body []byte) (Event, error) {
	e := Event{ID: h("X-Gitea-Delivery"), Kind: h("X-Gitea-Event")}
	if e.Kind == "" {
		e.ID, e.Kind = h("X-Forgejo-Delivery"), h("X-Forgejo-Event")
	}
	var m struct {
		Ref        string `json:"ref"`
		Repository struct {
			CloneURL string `json:"clone_url"`
			SSHURL   string `json:"ssh_url"`
		} `json:"repository"`
		Package struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			HTMLURL string `json:"html_url"`
			Owner   struct {
				Login string `json:"login"`
			} `json:"owner"`
		} `json:"package"`
		Action      string `json:"action"`
		PullRequest pull   `json:"pull_request"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	switch {
	case e.Kind == "push":
		e.Repositories = git(refs(m.Ref), m.Repository.CloneURL, m.Repository.SSHURL)
	case e.Kind == "pull_request" && m.Action == "closed": // merged or not
		e.Repositories = git(m.PullRequest.refs(), m.Repository.CloneURL, m.Repository.SSHURL)
	case e.Kind == "create": // a branch or tag, by its short name
		e.Repositories = git(nil, m.Repository.CloneURL, m.Repository.SSHURL)
	case e.Kind == "package" && m.Package.Type == "container":
		e.Repositories = image(hostOf(m.Package.HTMLURL), m.Package.Owner.Login, m.Package.Name)
	}
	return e, nil
}

// readBitbucket reads repo:push of Bitbucket Cloud and repo:refs_changed of
// Data Center.
func readBitbucket(h Header, body []byte) (Event, error) {
	e := Event{ID: h("X-Request-Uuid"), Kind: h("X-Event-Key")}
	if e.ID == "" {
		e.ID = h("X-Request-Id")
	}
	type ref struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	var m struct {
		Push struct {
			Changes []struct {
				New *ref `json:"new"`
				Old *ref `json:"old"`
			} `json:"changes"`
		} `json:"push"`
		Changes []struct {
			RefID string `json:"refId"`
		} `json:"changes"`
		Repository struct {
			Links struct {
				HTML struct {
					Href string `json:"href"`
				} `json:"html"`
				Clone []struct {
					Href string `json:"href"`
				} `json:"clone"`
			} `json:"links"`
		} `json:"repository"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	var names []string
	switch e.Kind {
	case "repo:push":
		for _, c := range m.Push.Changes {
			for _, r := range []*ref{c.New, c.Old} {
				if r != nil {
					names = append(names, map[bool]string{true: "refs/tags/", false: "refs/heads/"}[r.Type == "tag"]+r.Name)
				}
			}
		}
	case "repo:refs_changed":
		for _, c := range m.Changes {
			names = append(names, c.RefID)
		}
	default: // diagnostics:ping and everything else
		return e, nil
	}
	urls := []string{m.Repository.Links.HTML.Href}
	for _, c := range m.Repository.Links.Clone {
		urls = append(urls, c.Href)
	}
	if e.Repositories = git(refs(names...), urls...); len(e.Repositories) == 0 {
		return e, fmt.Errorf("%w: it names no address of the repository (Bitbucket Data Center does from 7.0 on)", ErrMalformed)
	}
	return e, nil
}

// readAzure reads git.push of Azure DevOps, and push and chart_push of Azure
// Container Registry.
func readAzure(body []byte) (Event, error) {
	var m struct {
		ID        string `json:"id"`
		EventType string `json:"eventType"`
		Resource  struct {
			RefUpdates []struct {
				Name string `json:"name"`
			} `json:"refUpdates"`
			Repository struct {
				RemoteURL string `json:"remoteUrl"`
			} `json:"repository"`
		} `json:"resource"`
		Action string `json:"action"`
		Target struct {
			Repository string `json:"repository"`
		} `json:"target"`
		Request struct {
			Host string `json:"host"`
		} `json:"request"`
	}
	if err := decode(body, &m); err != nil {
		return Event{}, err
	}
	e := Event{ID: m.ID, Kind: m.EventType}
	switch {
	case m.EventType == "git.push":
		var names []string
		for _, u := range m.Resource.RefUpdates {
			names = append(names, u.Name)
		}
		e.Repositories = git(refs(names...), m.Resource.Repository.RemoteURL)
	case m.Action == "push" || m.Action == "chart_push":
		e.Kind = m.Action
		e.Repositories = image(m.Request.Host, m.Target.Repository)
	case m.Action != "":
		e.Kind = m.Action
	}
	return e, nil
}

// readDockerHub reads the one event Docker Hub has.
func readDockerHub(body []byte) (Event, error) {
	e := Event{Kind: "push"}
	var m struct {
		Repository struct {
			RepoName string `json:"repo_name"`
		} `json:"repository"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	if m.Repository.RepoName == "" {
		return e, fmt.Errorf("%w: it names no repository", ErrMalformed)
	}
	e.Repositories = image("docker.io", m.Repository.RepoName)
	return e, nil
}

// readQuay reads a repository push.
func readQuay(body []byte) (Event, error) {
	e := Event{Kind: "push"}
	var m struct {
		DockerURL string `json:"docker_url"`
	}
	if err := decode(body, &m); err != nil {
		return e, err
	}
	if m.DockerURL == "" {
		return e, fmt.Errorf("%w: it names no repository", ErrMalformed)
	}
	e.Repositories = image(m.DockerURL)
	return e, nil
}

// readHarbor reads PUSH_ARTIFACT and the events of replication and proxies that
// bring an artifact, too.
func readHarbor(body []byte) (Event, error) {
	var m struct {
		Type      string `json:"type"`
		EventData struct {
			Resources []struct {
				ResourceURL string `json:"resource_url"`
			} `json:"resources"`
		} `json:"event_data"`
	}
	if err := decode(body, &m); err != nil {
		return Event{}, err
	}
	e := Event{Kind: m.Type}
	if m.Type != "PUSH_ARTIFACT" {
		return e, nil
	}
	for _, r := range m.EventData.Resources {
		e.Repositories = append(e.Repositories, image(withoutTag(r.ResourceURL))...)
	}
	return e, nil
}

// readECR reads "ECR Image Action" as EventBridge delivers it.
func readECR(body []byte) (Event, error) {
	var m struct {
		ID         string `json:"id"`
		DetailType string `json:"detail-type"`
		Account    string `json:"account"`
		Region     string `json:"region"`
		Detail     struct {
			Action     string `json:"action-type"`
			Result     string `json:"result"`
			Repository string `json:"repository-name"`
		} `json:"detail"`
	}
	if err := decode(body, &m); err != nil {
		return Event{}, err
	}
	e := Event{ID: m.ID, Kind: m.DetailType}
	if m.DetailType != "ECR Image Action" || m.Detail.Action != "PUSH" || m.Detail.Result != "SUCCESS" {
		return e, nil
	}
	suffix := ".amazonaws.com"
	if strings.HasPrefix(m.Region, "cn-") {
		suffix += ".cn"
	}
	if m.Account == "" || m.Region == "" {
		return e, fmt.Errorf("%w: it names no account and region", ErrMalformed)
	}
	e.Repositories = image(m.Account+".dkr.ecr."+m.Region+suffix, m.Detail.Repository)
	return e, nil
}

// readArtifactory reads pushed of the domain docker. An image is reached by
// path (host/repo/image) or by subdomain (repo.host/image), so both are named.
func readArtifactory(body []byte, virtualRepo string) (Event, error) {
	var m struct {
		Domain    string `json:"domain"`
		EventType string `json:"event_type"`
		Origin    string `json:"jpd_origin"`
		Data      struct {
			ImageName string `json:"image_name"`
			RepoKey   string `json:"repo_key"`
		} `json:"data"`
	}
	if err := decode(body, &m); err != nil {
		return Event{}, err
	}
	e := Event{Kind: m.EventType}
	if m.Domain != "docker" || m.EventType != "pushed" {
		return e, nil
	}
	repo, host := m.Data.RepoKey, hostOf(m.Origin)
	if virtualRepo != "" {
		repo = virtualRepo
	}
	e.Repositories = image(host, repo, m.Data.ImageName)
	if repo != "" && host != "" {
		e.Repositories = append(e.Repositories, image(repo+"."+host, m.Data.ImageName)...)
		if name, domain, found := strings.Cut(host, "."); found {
			e.Repositories = append(e.Repositories, image(name+"-"+repo+"."+domain, m.Data.ImageName)...)
		}
	}
	return e, nil
}
