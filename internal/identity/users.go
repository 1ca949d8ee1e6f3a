package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	// Epoch is random text that sessions of the user carry: giving it another one ends
	// them all, in the same write, on every replica. Users of before have none, and so
	// have their sessions.
	Epoch string `json:"epoch,omitempty"`
	// Kept is the Secret of the one session that outlives the change of Epoch: the one
	// in which the user chose another password.
	Kept string `json:"kept,omitempty"`
}

// userName is what a Secret's key allows and people can type.
var userName = regexp.MustCompile(`^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,126}[a-zA-Z0-9])?$`)

// PutUser creates or replaces a local user with the rights of kube, and enables it:
// for who has the cluster. groups are without prefix; the user's sessions stay, with
// the new groups, unless the password is another one.
func PutUser(ctx context.Context, kube kubernetes.Interface, namespace, name string, password secret.Text, groups []string) error {
	if err := checkUser(name, groups); err != nil {
		return err
	}
	_, err := editUsers(ctx, kube, namespace, func(data map[string][]byte) error {
		var u User
		if json.Unmarshal(data[name], &u) != nil || !hasPassword(u.Hash, password) {
			hash, err := HashPassword(password)
			if err != nil {
				return fmt.Errorf("user %q: %w", name, err)
			}
			u = User{Hash: hash, Epoch: rand.Text()}
		}
		u.Groups, u.Disabled = sortedGroups(groups), false
		return u.putInto(data, name)
	})
	return err
}

// checkUser says what is wrong with a name, or with groups without prefix.
func checkUser(name string, groups []string) error {
	if !userName.MatchString(name) {
		return &InvalidUserError{"name", fmt.Errorf("user name %q: use letters, digits, dots, dashes and underscores, at most 128", name)}
	}
	if _, err := NewPerson(name, nil); err != nil {
		return &InvalidUserError{"name", err}
	}
	for _, g := range groups {
		if err := validName(Prefix + g); err != nil {
			return &InvalidUserError{"groups", fmt.Errorf("group %q %w", g, err)}
		}
	}
	return nil
}

func sortedGroups(groups []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(groups)))
}

// putInto writes u into the data of the Secret.
func (u User) putInto(data map[string][]byte, name string) error {
	value, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	data[name] = value
	return nil
}

// editUsers changes the Secret with the rights of kube, made anew when it is missing,
// and tries again when somebody else changed it meanwhile; edit is called for each
// try, with what is there then. It returns the Secret that has the change. Errors of
// edit are returned as they are.
func editUsers(ctx context.Context, kube kubernetes.Interface, namespace string, edit func(map[string][]byte) error) (*corev1.Secret, error) {
	secrets := kube.CoreV1().Secrets(namespace)
	retriable := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	var out *corev1.Secret
	var refused error
	err := retry.OnError(retry.DefaultBackoff, retriable, func() error {
		s, err := secrets.Get(ctx, UsersSecret, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		if missing {
			s = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: UsersSecret, Namespace: namespace}, Type: corev1.SecretTypeOpaque}
		}
		before := maps.Clone(s.Data)
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		if refused = edit(s.Data); refused != nil {
			return nil
		}
		switch {
		case missing:
			out, err = secrets.Create(ctx, s, metav1.CreateOptions{})
		case maps.EqualFunc(before, s.Data, bytes.Equal):
			out = s
		default:
			out, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
		}
		return err
	})
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("write Secret %s/%s: %w", namespace, UsersSecret, err)
	}
	return out, nil
}

// errNoUser says that the Secret holds no user of that name who may sign in.
var errNoUser = errors.New("no such user")

// readUser returns the user of that name and its Person.
func readUser(s *corev1.Secret, name string) (User, Person, error) {
	if s == nil {
		return User{}, Person{}, errNoUser
	}
	u, p, err := parseUser(s.Data, name)
	if err == nil && u.Disabled {
		return User{}, Person{}, errNoUser
	}
	return u, p, err
}

// parseUser returns the user of that name, disabled or not, from the data of the Secret.
func parseUser(data map[string][]byte, name string) (User, Person, error) {
	value, ok := data[name]
	if !ok || !userName.MatchString(name) {
		return User{}, Person{}, errNoUser
	}
	var u User
	if err := json.Unmarshal(value, &u); err != nil {
		// The JSON error may quote a part of the value.
		return User{}, Person{}, fmt.Errorf("key %q of Secret %q is not a user as JSON", name, UsersSecret)
	}
	p, err := NewPerson(name, u.Groups)
	if err != nil {
		return User{}, Person{}, fmt.Errorf("key %q of Secret %q: %w", name, UsersSecret, err)
	}
	p.epoch = u.Epoch
	return u, p, nil
}
