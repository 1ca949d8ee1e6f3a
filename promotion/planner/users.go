package planner

import (
	"context"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

// ImageUsers says what images are run as.
type ImageUsers interface {
	// ImageUser returns the user that an image names, "" for none, with the
	// Project's credential for its repository.
	ImageUser(ctx context.Context, project, repoURL, digest string) (string, error)
}

const (
	// usersTime bounds looking for users: a plan is shown without them rather
	// than late.
	usersTime = 5 * time.Second
	// maxUsers is how many images are looked at.
	maxUsers = 20
)

// imageRisks names the images whose containers would run as another user than
// those that the Stage runs. An image that cannot be read is no reason not to
// show a plan: nothing is said of it.
func (l *Planner) imageRisks(ctx context.Context, stage *v1alpha1.Stage, collection []v1alpha1.StageFreight) []gitops.Risk {
	if l.Users == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, usersTime)
	defer cancel()
	var out []gitops.Risk
	for i, c := range changedImages(stage, collection) {
		if i == maxUsers {
			break
		}
		before, err := l.Users.ImageUser(bounded, stage.Namespace, c.after.RepoURL, c.before.Digest)
		if err != nil {
			continue
		}
		after, err := l.Users.ImageUser(bounded, stage.Namespace, c.after.RepoURL, c.after.Digest)
		if err != nil || after == before {
			continue
		}
		out = append(out, gitops.Risk{Flag: gitops.RiskUser, Sentence: fmt.Sprintf("Image %s:%s runs as %s; %s ran as %s",
			c.after.RepoURL, c.after.Tag, userText(after), c.before.Tag, userText(before))})
	}
	return out
}

func userText(user string) string {
	if user == "" {
		return "root, because it names no user"
	}
	return fmt.Sprintf("user %q", promotion.OneLine(user, maxShown))
}

type changedImage struct{ before, after v1alpha1.Image }

// changedImages pairs the images of what the Stage runs with those of the same
// repository that would replace them.
func changedImages(stage *v1alpha1.Stage, collection []v1alpha1.StageFreight) []changedImage {
	before := map[string]v1alpha1.Image{}
	for _, c := range stage.Status.Current {
		for _, image := range c.Images {
			before[image.RepoURL] = image
		}
	}
	var out []changedImage
	for _, c := range collection {
		for _, image := range c.Images {
			if was, runs := before[image.RepoURL]; runs && was.Digest != "" && image.Digest != "" && was.Digest != image.Digest {
				out = append(out, changedImage{was, image})
			}
		}
	}
	return out
}
