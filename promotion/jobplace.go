package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ErrJobPlace says that a Job has no place to run in. Only another definition of
// the Stage or its Project mends it.
var ErrJobPlace = errors.New("no place for the Job")

// CheckDeployment returns the deploy entry whose cluster and namespace a Job
// runs in: the one of that name, or the first.
func CheckDeployment(s *v1alpha1.Stage, deploy string) (*v1alpha1.Deployment, error) {
	if len(s.Spec.Deploy) == 0 {
		return nil, errors.New("the Stage deploys nothing, so there is no cluster for a Job; add spec.deploy")
	}
	if deploy == "" {
		return &s.Spec.Deploy[0], nil
	}
	for i := range s.Spec.Deploy {
		if s.Spec.Deploy[i].Name == deploy {
			return &s.Spec.Deploy[i], nil
		}
	}
	for i := range s.Spec.Deploy {
		d := &s.Spec.Deploy[i]
		if d.ForEach != nil && strings.HasPrefix(deploy, d.Name+"-") {
			return d, nil // what it stands for is known when the Job runs
		}
		if d.ForEach != nil && strings.HasPrefix(d.Name, deploy+"-") {
			return nil, fmt.Errorf("deploy entry %q stands for several; name one of them, for instance %q", deploy, d.Name)
		}
	}
	return nil, fmt.Errorf("there is no deploy entry %q", deploy)
}

// JobName returns the name of the Job of one attempt of a check. It is made of
// what makes the attempt: a restarted controller finds the Job it created.
func JobName(p *v1alpha1.Promotion, check string, run, attempt int32) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", p.UID, check, run, attempt))
	return jobName("verify", p.Spec.Stage, check, sum[:])
}

// StepJobName returns the name of the Job of a step: the same in every attempt.
func StepJobName(p *v1alpha1.Promotion, step string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/step/%s", p.UID, step))
	return jobName("promote", p.Spec.Stage, step, sum[:])
}

// jobName makes a name that a label holds, too.
func jobName(kind, stage, what string, sum []byte) string {
	parts := []string{kind, cutName(stage, 20), cutName(plainName(what), 20), hex.EncodeToString(sum[:5])}
	return strings.ReplaceAll(strings.Join(parts, "-"), "--", "-")
}

// plainName leaves of a step's name what the name of an object may hold.
func plainName(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, s), "-")
}

func cutName(s string, n int) string {
	return strings.TrimRight(s[:min(len(s), n)], "-.")
}
