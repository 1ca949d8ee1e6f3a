// Package step is what every built-in step implements.
package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Repositories opens Git repositories with the credentials of a Project.
type Repositories interface {
	// Open returns the mirror of repoURL as the Project may see it. It makes
	// no request.
	Open(ctx context.Context, project, repoURL string) (*git.Mirror, error)
}

// Input is what a step gets. A step changes the workspace and nothing else.
type Input struct {
	// Promotion that runs; read only.
	Promotion *v1alpha1.Promotion
	// As is the step's name in the promotion.
	As string
	// Config of the step, with expressions evaluated.
	Config []byte
	// Workspace of the run.
	Workspace *workspace.Workspace
	// Repositories of the Project.
	Repositories Repositories
	// Date for anything that needs one: the same in every attempt.
	Date time.Time
	// Intent that was recorded before; only for Effect.Run and Effect.Probe.
	Intent *v1alpha1.CommitIntent
	// Recorded is the output of an earlier run of this step, nil when there was
	// none: what was fetched then has to be the same now.
	Recorded *runtime.RawExtension
}

// Result is what a step has done.
type Result struct {
	// Output for later steps and for people.
	Output map[string]any
	// Commit on a Stage's branch, for a step that pushed one.
	Commit *v1alpha1.PromotionCommit
	// Message in one sentence: a short log.
	Message string
	// Skipped says that there was nothing to do: the step counts as skipped.
	Skipped bool
	// Wait says that the step is not done: look again after this long.
	Wait time.Duration
	// Log is the end of what a container wrote.
	Log string
}

// Step is one built-in step. Run must give the same result when it is run
// again on the same input: steps without effect are replayed after a restart.
// An error is retried unless it is terminal. Of a result beside an error only
// Output and Log count.
type Step interface {
	Run(ctx context.Context, in Input) (Result, error)
}

// Effect is a step that changes the world outside the cluster. The engine
// records Prepare's intent before it calls Run, and after a crash asks Probe
// whether the effect has happened (09-safety, rule 4).
type Effect interface {
	Step
	// Prepare returns the intent; nil when nothing has to be done.
	Prepare(ctx context.Context, in Input) (*v1alpha1.CommitIntent, error)
	// Probe looks for the effect of in.Intent. found is false when it has not
	// happened; an error says that this cannot be known now.
	Probe(ctx context.Context, in Input) (result Result, found bool, err error)
}

// Once is a step that leaves nothing in the workspace: when it is done, its
// recorded output stands and it is not run again. The engine makes the start
// durable before it calls Run. After a crash Run is called again, and has to
// find out by itself whether what it does has been done.
type Once interface {
	Step
	// NeedsWorkspace reports whether Run reads the workspace.
	NeedsWorkspace() bool
}

// Stopper is a step that leaves something running while it waits.
type Stopper interface {
	Step
	// Stop ends that. in has no configuration; what runs is in in.Recorded.
	Stop(ctx context.Context, in Input) error
}

// Configured says what the configuration of a step looks like: its JSON Schema
// and its reference page are made from the struct. Every built-in step is one.
type Configured interface {
	// NewConfig returns a pointer to an empty configuration.
	NewConfig() any
}

// TerminalError is an error that no retry mends.
type TerminalError struct {
	// Reason is a CamelCase word for programs.
	Reason string
	Err    error
}

// Error returns the text of the cause.
func (e *TerminalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *TerminalError) Unwrap() error { return e.Err }

// Terminal marks an error as one that no retry mends.
func Terminal(reason string, err error) error { return &TerminalError{Reason: reason, Err: err} }

// IsTerminal reports whether an error is one that no retry mends.
func IsTerminal(err error) bool {
	var t *TerminalError
	return errors.As(err, &t)
}

// ReasonedError is an error that is tried again, with a word for programs.
type ReasonedError struct {
	// Reason is a CamelCase word.
	Reason string
	Err    error
}

// Error returns the text of the cause.
func (e *ReasonedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ReasonedError) Unwrap() error { return e.Err }

// Reasoned names an error that something outside of Waybill mends.
func Reasoned(reason string, err error) error { return &ReasonedError{Reason: reason, Err: err} }

// ErrRetryNow is wrapped by errors after which the run starts anew at once,
// from a fresh look at the remote: a push that lost a race.
var ErrRetryNow = errors.New("try again from the present state")

// ErrStale is wrapped by errors after which only a new plan helps: what the
// plan was made from is not there any more. Nothing has been done.
var ErrStale = errors.New("the plan is out of date")

// Decode reads a step's config strictly into out, a pointer to a struct.
// A field the step does not have is a terminal error that names it.
func Decode(raw []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return Terminal("InvalidConfig", fmt.Errorf("step config: %w", err))
	}
	return nil
}
