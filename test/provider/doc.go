// Package provider is a Git hosting service for tests: a real Git server with
// the parts of the APIs of GitHub, GitLab and Gitea (which Forgejo speaks too)
// that pull requests need, on one address and with one set of pull requests.
//
// What it merges it merges in the repository, so that whoever follows the branch
// sees it.
package provider
