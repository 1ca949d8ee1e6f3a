package live

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// LogQuery selects what containers wrote.
type LogQuery struct {
	// Kind and Name of an object of the Application: a Pod, or what owns Pods.
	// Both empty: all of the Application. Kind is compared without case.
	Kind, Name string
	// Container by name; empty: all that are no init containers.
	Container string
	// Lines from the end of each; 0 means 100, and 5,000 is the most.
	Lines int
}

// Log is the end of what one container wrote.
type Log struct {
	// Pod as namespace/name.
	Pod, Container string
	Text           string
	// Missing says why the cluster does not give it; Text is then empty.
	Missing string
}

const (
	defaultLines = 100
	maxLines     = 5000
	// maxLogs bounds how many containers are read, maxLogBytes what of each.
	maxLogs     = 20
	maxLogBytes = 256 << 10
)

// Logs returns what the containers of app wrote, by pod and container. What is
// not a Pod of app, or owns none, is ErrNotThere.
func (i *Inspector) Logs(ctx context.Context, app *v1alpha1.Application, q LogQuery) (logs []Log, isCut bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	tree, err := i.Tree(ctx, app)
	if err != nil {
		return nil, false, err
	}
	c, _, err := i.clusterOf(ctx, app)
	if err != nil {
		return nil, false, err
	}
	lines := int64(q.Lines)
	if lines <= 0 {
		lines = defaultLines
	}
	lines = min(lines, maxLines)
	pods := podsOf(tree, q)
	if len(pods) == 0 && q.Kind != "" {
		return nil, false, fmt.Errorf("%w: no %s %q with pods", ErrNotThere, q.Kind, q.Name)
	}
	for _, pod := range pods {
		for _, container := range pod.Containers {
			if q.Container != "" && container != q.Container {
				continue
			}
			if len(logs) == maxLogs {
				return logs, true, nil
			}
			l := Log{Pod: pod.Key.Namespace + "/" + pod.Key.Name, Container: container}
			if l.Text, err = c.Logs(ctx, pod.Key.Namespace, pod.Key.Name, container, lines, maxLogBytes); err != nil {
				if ctx.Err() != nil {
					return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, err)
				}
				l.Text, l.Missing = "", err.Error()
			}
			logs = append(logs, l)
		}
	}
	if len(logs) == 0 && q.Container != "" {
		return nil, false, fmt.Errorf("%w: no container %q", ErrNotThere, q.Container)
	}
	return logs, tree.IsCut, nil
}

// podsOf returns the Pods that are meant, or that what is meant owns.
func podsOf(tree Tree, q LogQuery) []Node {
	isMeant := map[string]bool{}
	for _, n := range tree.Nodes { // owners come before what they own
		direct := q.Kind == "" || strings.EqualFold(n.Key.Kind, q.Kind) && n.Key.Name == q.Name
		if n.UID != "" && (direct || isMeant[n.Parent]) {
			isMeant[n.UID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(tree.Nodes), func(n Node) bool {
		return !isMeant[n.UID] || n.Key.GroupKind() != (gitops.Key{Kind: "Pod"}).GroupKind()
	})
}
