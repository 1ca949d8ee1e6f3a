package identity

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/secret"
)

func TestPassword(t *testing.T) {
	v, err := newVerifier()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword(secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("hash %q is not in PHC form", hash)
	}
	again, err := HashPassword(secret.New("correct horse"))
	if err != nil || again == hash {
		t.Fatalf("two hashes of one password are equal (error %v)", err)
	}
	for _, tc := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"right", hash, "correct horse", true},
		{"wrong", hash, "correct horses", false},
		{"empty", hash, "", false},
		{"longer than 72 bytes", hash, "correct horse" + strings.Repeat("x", 100), false},
		{"unknown user", "", "correct horse", false},
		{"huge memory", "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", false},
		{"other algorithm", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", false},
		{"text after numbers", "$argon2id$v=19$m=19456,t=2,p=1x$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := v.verify(context.Background(), tc.hash, secret.New(tc.password))
			if err != nil || got != tc.want {
				t.Fatalf("verify = %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestVerifyGivesUpWithItsCaller(t *testing.T) {
	v, err := newVerifier()
	if err != nil {
		t.Fatal(err)
	}
	for range hashers {
		v.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := v.verify(ctx, "", secret.New("x")); err == nil {
		t.Fatal("verified although every slot is taken")
	}
}

// An unknown user must cost what a known one costs. The test compares the
// fastest of several runs of each, which is stable where means are not.
func TestUnknownUserCostsTheSame(t *testing.T) {
	v, err := newVerifier()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword(secret.New("p"))
	if err != nil {
		t.Fatal(err)
	}
	fastest := func(hash string) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			if _, err := v.verify(context.Background(), hash, secret.New("wrong")); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	known, unknown := fastest(hash), fastest("")
	if unknown < known/2 || unknown > known*2 {
		t.Fatalf("known user %v, unknown user %v", known, unknown)
	}
}
