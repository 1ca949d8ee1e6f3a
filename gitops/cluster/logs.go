package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Logs returns the end of what a container wrote: at most lines lines, and at
// most maxBytes bytes of them. An empty container is the only one of the pod.
// When the node of the pod does not answer the API server, as in a simulated
// cluster whose pods run nothing, the error says that.
func (c *Cluster) Logs(ctx context.Context, namespace, pod, container string, lines, maxBytes int64) (string, error) {
	stream, err := c.pods.Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{
		Container: container, TailLines: &lines, LimitBytes: &maxBytes,
	}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("log of Pod %q: %w", namespace+"/"+pod, ofNode(err))
	}
	defer stream.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(stream, maxBytes))
	if err != nil {
		return "", fmt.Errorf("log of Pod %q: %w", namespace+"/"+pod, err)
	}
	return string(data), nil
}

// ofNode says of an answer of the API server that it could not ask the node, and
// why; its own message begins with the address it asked.
func ofNode(err error) error {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || status.Status().Code != http.StatusInternalServerError {
		return err
	}
	address, why, isAsked := strings.Cut(status.Status().Message, `": `)
	if !isAsked || !strings.HasPrefix(address, `Get "https://`) {
		return err
	}
	return fmt.Errorf("its node does not answer: %s", why)
}
