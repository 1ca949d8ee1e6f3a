package cluster

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
)

// Logs returns the end of what a container wrote: at most lines lines, and at
// most maxBytes bytes of them. An empty container is the only one of the pod.
// What the node does not give is the API server's error.
func (c *Cluster) Logs(ctx context.Context, namespace, pod, container string, lines, maxBytes int64) (string, error) {
	stream, err := c.pods.Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{
		Container: container, TailLines: &lines, LimitBytes: &maxBytes,
	}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("log of Pod %q: %w", namespace+"/"+pod, err)
	}
	defer stream.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(stream, maxBytes))
	if err != nil {
		return "", fmt.Errorf("log of Pod %q: %w", namespace+"/"+pod, err)
	}
	return string(data), nil
}
