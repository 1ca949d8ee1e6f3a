package secretstore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/sops"
)

// DecryptionKeys returns the keys for encrypted files in the Secret that d names, of
// the Project's own Namespace. No error repeats a key.
func (s *Store) DecryptionKeys(ctx context.Context, project string, d *v1alpha1.Decryption) (*sops.Keys, error) {
	var found corev1.Secret
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: project, Name: d.SecretRef.Name}, &found)
	if apierrors.IsNotFound(err) || err == nil && found.Labels[credentials.TypeLabel] != credentials.SOPS {
		return nil, fmt.Errorf("there is no Secret %q with the label %s: %s in %q; create or label it", d.SecretRef.Name, credentials.TypeLabel, credentials.SOPS, project)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", d.SecretRef.Name, err)
	}
	keys, err := sops.ParseKeys(found.Data)
	if err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", d.SecretRef.Name, err)
	}
	return keys, nil
}
