package accept

import (
	"strings"

	"github.com/waybill-dev/waybill/git"
)

// The trailers of a commit that accepts drift. git.WriteCommit quotes lines of a
// message that look like one, so a reason never becomes a trailer.
const (
	// TrailerApplication is whose objects were changed: PROJECT/APPLICATION.
	TrailerApplication = "Waybill-Application"
	// TrailerAcceptedBy is who accepted, as Kubernetes knows the user.
	TrailerAcceptedBy = "Waybill-Accepted-By"
	// TrailerAccepts is one accepted field: KIND NAMESPACE/NAME FIELD.
	TrailerAccepts = "Waybill-Accepts"
)

// Record is what a commit says of what was accepted in it.
type Record struct {
	// By is who accepted, as Kubernetes knows the user.
	By string
	// Fields are written KIND NAMESPACE/NAME FIELD.
	Fields []string
}

// RecordOf reads a commit that Acceptor made for an Application of the Project. ok is
// false for all others: also for one that somebody picked or amended, who copies the
// trailers and becomes its committer. Who may push to the branch can still write such
// a commit, as one of a promotion; all that brings is that it is overwritten without
// anybody being asked.
func RecordOf(c git.Commit, project string) (r Record, ok bool) {
	by, fields := c.Trailers.Values(TrailerAcceptedBy), c.Trailers.Values(TrailerAccepts)
	isOurs := c.Author == c.Committer && len(c.Parents) == 1 && strings.HasPrefix(c.Trailers.Get(TrailerApplication), project+"/")
	if !isOurs || len(by) != 1 || by[0] == "" || len(fields) == 0 || len(c.Trailers) != len(fields)+2 {
		return Record{}, false
	}
	return Record{By: by[0], Fields: fields}, true
}

// trailers are those of the commit that accepts changes.
func trailers(q Request, changes []Change) []git.Trailer {
	out := []git.Trailer{{Key: TrailerApplication, Value: q.App.Namespace + "/" + q.App.Name}, {Key: TrailerAcceptedBy, Value: q.By}}
	for _, c := range changes {
		out = append(out, git.Trailer{Key: TrailerAccepts, Value: Field{Key: c.Key, Path: c.Field}.String()})
	}
	return out
}
