package promotion

import (
	"errors"
	"fmt"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// origin is what warehouse() returns.
type origin struct{ Kind, Name string }

// image is what imageFrom returns, with the names that Kargo's templates use.
type image struct{ RepoURL, Tag, Digest string }

// commit and chart are what commitFrom and chartFrom return.
type (
	commit struct{ RepoURL, ID, Branch, Tag, Message, Author string }
	chart  struct{ RepoURL, Name, Version, Digest string }
)

// artifact is what artifactFrom returns: any kind, in one form.
type artifact struct{ ArtifactType, RepoURL, Name, Version, Digest string }

// freightFunctions are warehouse, imageFrom and those like it.
func freightFunctions(p *v1alpha1.Promotion, collection []v1alpha1.StageFreight) map[string]expression.Function {
	return map[string]expression.Function{
		"warehouse": func(args ...any) (any, error) {
			if name, ok := oneText(args); ok {
				return origin{"Warehouse", name}, nil
			}
			return nil, errors.New("warehouse takes the name of a Warehouse")
		},
		"imageFrom": func(args ...any) (any, error) {
			repoURL, from, err := wanted("imageFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, img := range f.Images {
					if (from == "" || f.Origin == from) && IsSameRepository(img.RepoURL, repoURL) {
						return image{img.RepoURL, img.Tag, img.Digest}, nil
					}
				}
			}
			return nil, &ImageMissingError{Image: repoURL, Have: imageNames(collection)}
		},
		"commitFrom": func(args ...any) (any, error) {
			repoURL, from, err := wanted("commitFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, c := range f.Commits {
					if (from == "" || f.Origin == from) && IsSameRepository(c.RepoURL, repoURL) {
						return commit{c.RepoURL, c.ID, c.Branch, c.Tag, c.Message, c.Author}, nil
					}
				}
			}
			return nil, notCarried(repoURL, "Git commit")
		},
		"chartFrom": func(args ...any) (any, error) {
			name := ""
			if len(args) > 1 { // (repoURL, name) or (repoURL, name, warehouse(...))
				if text, ok := args[1].(string); ok {
					name, args = text, append([]any{args[0]}, args[2:]...)
				}
			}
			repoURL, from, err := wanted("chartFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, c := range f.Charts {
					if (from == "" || f.Origin == from) && IsSameRepository(c.RepoURL, repoURL) && (name == "" || c.Name == name) {
						return chart{c.RepoURL, c.Name, c.Version, c.Digest}, nil
					}
				}
			}
			return nil, notCarried(repoURL, "chart")
		},
		"artifactFrom": func(args ...any) (any, error) {
			repoURL, from, err := wanted("artifactFrom", args)
			if err != nil {
				return nil, err
			}
			for _, f := range collection {
				for _, a := range artifactsOf(f) {
					if (from == "" || f.Origin == from) && IsSameRepository(a.RepoURL, repoURL) {
						return a, nil
					}
				}
			}
			return nil, notCarried(repoURL, "image, chart or Git commit")
		},
	}
}

// artifactsOf returns all artifacts of a Freight in one form.
func artifactsOf(f v1alpha1.StageFreight) []artifact {
	var out []artifact
	for _, i := range f.Images {
		out = append(out, artifact{ArtifactType: "image", RepoURL: i.RepoURL, Version: i.Version(), Digest: i.Digest})
	}
	for _, c := range f.Charts {
		out = append(out, artifact{ArtifactType: "chart", RepoURL: c.RepoURL, Name: c.Name, Version: c.Version, Digest: c.Digest})
	}
	for _, c := range f.Commits {
		out = append(out, artifact{ArtifactType: "git", RepoURL: c.RepoURL, Version: c.ID})
	}
	return out
}

func notCarried(repoURL, what string) error {
	return fmt.Errorf("no Freight of this Stage carries a %s of %q", what, repoURL)
}

func oneText(args []any) (string, bool) {
	if len(args) != 1 {
		return "", false
	}
	s, ok := args[0].(string)
	return s, ok && s != ""
}

// wanted reads (repoURL) or (repoURL, warehouse(name)).
func wanted(name string, args []any) (repoURL, from string, err error) {
	if len(args) == 2 {
		o, ok := args[1].(origin)
		if !ok {
			return "", "", fmt.Errorf("the second argument of %s is warehouse(NAME)", name)
		}
		from, args = o.Name, args[:1]
	}
	repoURL, ok := oneText(args)
	if !ok {
		return "", "", fmt.Errorf("%s takes the address of a repository", name)
	}
	return repoURL, from, nil
}
