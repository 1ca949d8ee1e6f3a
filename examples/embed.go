// Package examples holds the manifests people copy. They are files first; the
// embedded copy is what `waybill local up --demo` applies and pushes, with the
// example addresses replaced by those of the local Git server and registry.
package examples

import "embed"

// Guestbook is the folder guestbook: the definitions of the Project (*.yaml,
// in the order in which they apply) and, below repository/, the content of its
// Git repository.
//
//go:embed guestbook
var Guestbook embed.FS

// What the guestbook files call things; a user of the files replaces them.
const (
	// GitURL is the address of the Git repository.
	GitURL = "https://git.example.com/guestbook.git"
	// ImageRepo is the image repository.
	ImageRepo = "registry.example.com/guestbook"
	// Username and Password of the credential Secrets.
	Username = "waybill"
	Password = "change-me"
)
