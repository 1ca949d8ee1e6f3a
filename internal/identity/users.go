package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/waybill-dev/waybill/internal/secret"
)

// UsersSecret is the name of the Secret with the local users, in Waybill's
// Namespace. Each key is a user name, each value a User as JSON.
const UsersSecret = "waybill-users"

// User is one local user as it is stored.
type User struct {
	// Hash of the password, argon2id in PHC form.
	Hash string `json:"hash"`
	// Groups without prefix.
	Groups []string `json:"groups,omitempty"`
	// Disabled users cannot sign in, and their sessions end.
	Disabled bool `json:"disabled,omitempty"`
}

// userName is what a Secret's key allows and people can type.
var userName = regexp.MustCompile(`^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,126}[a-zA-Z0-9])?$`)

// PutUser creates or replaces a local user. groups are without prefix; the
// user's sessions stay, with the new groups.
func PutUser(ctx context.Context, kube kubernetes.Interface, namespace, name string, password secret.Text, groups []string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("user name %q: use letters, digits, dots, dashes and underscores, at most 128", name)
	}
	if _, err := NewPerson(name, groups); err != nil {
		return err
	}
	hash, err := HashPassword(password)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	value, err := json.Marshal(User{Hash: hash, Groups: slices.Sorted(slices.Values(groups))})
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	return editUsers(ctx, kube, namespace, func(data map[string][]byte) { data[name] = value })
}

// DeleteUser removes a local user; removing an unknown one does nothing. The
// user's sessions end.
func DeleteUser(ctx context.Context, kube kubernetes.Interface, namespace, name string) error {
	return editUsers(ctx, kube, namespace, func(data map[string][]byte) { delete(data, name) })
}

// editUsers changes the Secret, made anew when it is missing, and tries again
// when somebody else changed it meanwhile.
func editUsers(ctx context.Context, kube kubernetes.Interface, namespace string, edit func(map[string][]byte)) error {
	secrets := kube.CoreV1().Secrets(namespace)
	retriable := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(retry.DefaultBackoff, retriable, func() error {
		s, err := secrets.Get(ctx, UsersSecret, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		if missing {
			s = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: UsersSecret, Namespace: namespace}, Type: corev1.SecretTypeOpaque}
		}
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		edit(s.Data)
		if missing {
			_, err = secrets.Create(ctx, s, metav1.CreateOptions{})
		} else {
			_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", namespace, UsersSecret, err)
	}
	return nil
}

// errNoUser says that the Secret holds no usable user of that name.
var errNoUser = errors.New("no such user")

// readUser returns the user of that name and its Person.
func readUser(s *corev1.Secret, name string) (User, Person, error) {
	if s == nil || !userName.MatchString(name) {
		return User{}, Person{}, errNoUser
	}
	value, ok := s.Data[name]
	if !ok {
		return User{}, Person{}, errNoUser
	}
	var u User
	if err := json.Unmarshal(value, &u); err != nil {
		// The JSON error may quote a part of the value.
		return User{}, Person{}, fmt.Errorf("key %q of Secret %q is not a user as JSON", name, UsersSecret)
	}
	if u.Disabled {
		return User{}, Person{}, errNoUser
	}
	p, err := NewPerson(name, u.Groups)
	if err != nil {
		return User{}, Person{}, fmt.Errorf("key %q of Secret %q: %w", name, UsersSecret, err)
	}
	return u, p, nil
}
