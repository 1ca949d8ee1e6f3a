package secretstore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/internal/credentials"
)

// Channel returns the data of the Secret that says where messages of the Project
// go: one of its own Namespace, or of Waybill's that is shared with it. It
// returns credentials.ErrNoChannel when there is none.
func (s *Store) Channel(ctx context.Context, project, name string) (map[string][]byte, error) {
	for _, namespace := range []string{project, s.SystemNamespace} {
		var found corev1.Secret
		err := s.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("read Secret %q: %w", namespace+"/"+name, err)
		}
		isShared := namespace == project || isSharedWith(found.Annotations, project)
		if isShared && found.Labels[credentials.TypeLabel] == credentials.Message {
			return found.Data, nil
		}
	}
	return nil, fmt.Errorf("%w: no Secret %q with the label %s: %s in %q", credentials.ErrNoChannel, name, credentials.TypeLabel, credentials.Message, project)
}
