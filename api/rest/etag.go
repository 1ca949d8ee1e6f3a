package rest

import (
	"context"
	"errors"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// etagOf returns the entity tag of an object. Its uid is in it, so that an object
// that was deleted and made again is another one.
func etagOf(o client.Object) string {
	return `"` + string(o.GetUID()) + "." + o.GetResourceVersion() + `"`
}

// namesTag reports whether the list of an If-Match or If-None-Match header names
// tag. A tag stands for a version of an object and not for the bytes of one
// answer, so the weak form counts, which proxies make of it that zip.
func namesTag(list, tag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for each := range strings.SplitSeq(list, ",") { // a tag of ours has no comma
		if strings.TrimPrefix(strings.TrimSpace(each), "W/") == tag {
			return true
		}
	}
	return false
}

// deleteMatching deletes an object, as the person, if it is as match, the value
// of If-Match, says. Without one nobody has said what is to be deleted: that is
// refused, because somebody may have changed it since it was looked at.
func (s *Server) deleteMatching(ctx context.Context, o client.Object, match string) error {
	match = strings.TrimSpace(match)
	switch {
	case match == "":
		return refuse(model.PreconditionRequired, "the header If-Match is missing: it says which version of %q is to be deleted", o.GetName()).
			withHint("send the ETag that GET answered with, or If-Match: * for whatever it is by now")
	case match == "*":
		return s.deleteAs(ctx, o, "")
	case !namesTag(match, etagOf(o)):
		return changedMeanwhile(o)
	}
	err := s.deleteAs(ctx, o, o.GetResourceVersion())
	var r *refusal
	if errors.As(err, &r) && r.code == model.Conflict { // changed since the cache saw it
		return changedMeanwhile(o)
	}
	return err
}

func changedMeanwhile(o client.Object) *refusal {
	return refuse(model.PreconditionFailed, "%q was changed meanwhile", o.GetName()).withHint("look at it again")
}
