package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// Update moves one branch.
type Update struct {
	Branch string
	// Old is where the branch must be; zero: it must not exist.
	Old Hash
	// New is where it goes; it must descend from Old.
	New Hash
	// Bases are commits the remote surely has, say the one the new tree was
	// made from. They keep the pack small; naming a wrong one costs a second
	// attempt.
	Bases []Hash

	// tag is a tag object to put out in place of moving a branch: New is the
	// commit it leads to, and Branch the name of the tag.
	tag Hash
}

// ref is the full name of what moves.
func (u Update) ref() string {
	if !u.tag.IsZero() {
		return tagsPrefix + u.Branch
	}
	return headsPrefix + u.Branch
}

// target is where the reference goes.
func (u Update) target() Hash {
	if !u.tag.IsZero() {
		return u.tag
	}
	return u.New
}

const (
	// pushAttempts is how often a refused push is sent. A second time, because
	// the refusal may come from another push holding the branch's lock while
	// the branch is still where it was.
	pushAttempts = 2
	// lockPause lets that other push finish.
	lockPause = 50 * time.Millisecond
)

// Push moves the branch on the server if it is at Old, and only then. It never
// forces: New must descend from Old.
//
// nil means the branch is at New now (or was at New already, which is how a
// repeated push ends). ErrMoved carries where the branch is instead.
// ErrUnknownOutcome means that the push was sent and no answer came: Fetch, and
// look with FindTrailer. After any other error the push has not happened.
func (m *Mirror) Push(ctx context.Context, u Update) error {
	op := fmt.Sprintf("push branch %q of %s", u.Branch, m.URL())
	if err := ValidateBranch(u.Branch); err != nil {
		return fmt.Errorf("push to %s: %w", m.URL(), err)
	}
	if u.New.IsZero() {
		return &Error{Op: op, Kind: ErrNotDescendant, Detail: "branches are never deleted"}
	}
	return m.push(ctx, op, u)
}

// PushTag puts a tag out that WriteTag made, with the commit it leads to. A tag
// is never moved: where it is another one already, the error is ErrMoved. bases
// are as in Update. nil, ErrUnknownOutcome and other errors mean what they mean
// after Push.
func (m *Mirror) PushTag(ctx context.Context, name string, tag, commit Hash, bases ...Hash) error {
	op := fmt.Sprintf("push tag %q of %s", name, m.URL())
	if err := ValidateBranch(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if tag.IsZero() || commit.IsZero() {
		return &Error{Op: op, Kind: ErrNotDescendant, Detail: "tags are never deleted"}
	}
	return m.push(ctx, op, Update{Branch: name, New: commit, Bases: bases, tag: tag})
}

// push sends an update, and once more when it was refused and nothing moved.
func (m *Mirror) push(ctx context.Context, op string, u Update) error {
	w, err := m.mirrors.wire(m.remote, op)
	if err != nil {
		return err
	}
	defer w.close()
	defer m.mirrors.answers.pushed(m.remote.normalized) // whatever came of it: ask again
	var refusal *Error
	for attempt := range pushAttempts {
		at, l, err := w.at(ctx, u.ref())
		if err != nil {
			return err
		}
		if at == u.target() {
			return m.pushed(u)
		}
		if at != u.Old {
			return w.fail(&MovedError{Expected: u.Old, Found: at}, "")
		}
		if attempt > 0 {
			u.Bases = nil // in case one of them is not there any more
		}
		request, sideband64k, err := m.pushRequest(w, l.AdvRefs, u)
		if err != nil {
			return err
		}
		if err := m.mirrors.opts.Failpoints.Hit(ctx, FailBeforePush); err != nil {
			return err
		}
		report, said, err := w.pushPack(ctx, l, request, sideband64k)
		if err != nil {
			return err
		}
		refusal = w.refusal(report, u.ref(), said)
		if refusal == nil {
			if err := m.mirrors.opts.Failpoints.Hit(ctx, FailAfterPush); err != nil {
				return &Error{Op: op, Kind: ErrUnknownOutcome, Detail: err.Error()}
			}
			return m.pushed(u)
		}
		if err := pause(ctx, lockPause); err != nil {
			return &Error{Op: op, Kind: ErrRejected, Detail: refusal.Detail, cause: err}
		}
	}
	return w.settle(ctx, u, refusal)
}

// pushed remembers what the remote has now.
func (m *Mirror) pushed(u Update) error {
	if u.tag.IsZero() {
		m.store.setTips(map[string]Hash{u.Branch: u.New})
	}
	return nil
}

// at asks where a reference is, in the listing for pushing.
func (w *wire) at(ctx context.Context, ref string) (Hash, *listing, error) {
	l, err := w.advertise(ctx, receivePack)
	if err != nil {
		return Hash{}, nil, err
	}
	return Hash(l.References[ref]), l, nil
}

// settle decides what a refusal was by where the branch is.
func (w *wire) settle(ctx context.Context, u Update, refusal *Error) error {
	at, _, err := w.at(ctx, u.ref())
	switch {
	case err != nil:
		return refusal // it is certain that it was refused, not why
	case at == u.target():
		return nil
	case at != u.Old:
		return w.fail(&MovedError{Expected: u.Old, Found: at}, "")
	default:
		return refusal
	}
}

// refusal returns nil when the report says that the reference moved. said is what
// the server's hooks printed.
func (w *wire) refusal(report *packp.ReportStatus, ref, said string) *Error {
	why := report.UnpackStatus
	if why == "ok" {
		why = "the report does not mention the reference"
		for _, s := range report.CommandStatuses {
			if s.ReferenceName.String() != ref {
				continue
			}
			if s.Error() == nil {
				return nil
			}
			why = s.Status
		}
	}
	if said != "" {
		why += ": " + said
	}
	return w.fail(ErrRejected, why)
}

// pushRequest makes the command and the pack of what the remote lacks.
func (m *Mirror) pushRequest(w *wire, adv *packp.AdvRefs, u Update) (_ []byte, sideband64k bool, _ error) {
	if !adv.Capabilities.Supports(capability.ReportStatus) {
		return nil, false, w.fail(ErrNotGit, "the server does not report what became of a push")
	}
	request := packp.NewReferenceUpdateRequest()
	_ = request.Capabilities.Set(capability.ReportStatus)
	if sideband64k = adv.Capabilities.Supports(capability.Sideband64k); sideband64k {
		_ = request.Capabilities.Set(capability.Sideband64k)
	}
	if adv.Capabilities.Supports(capability.Agent) {
		_ = request.Capabilities.Set(capability.Agent, "git/waybill")
	}
	request.Commands = []*packp.Command{{Name: plumbing.ReferenceName(u.ref()), Old: u.Old.plumbing(), New: u.target().plumbing()}}
	var pack bytes.Buffer
	err := m.store.read(func(r *reader) error {
		objects, err := r.missing(u, remoteCommits(adv))
		if err != nil {
			return err
		}
		if !u.tag.IsZero() {
			objects = append(objects, u.tag)
		}
		_, err = packfile.NewEncoder(&capped{w: &pack, left: r.limits.PushBytes}, r, false).Encode(toPlumbing(objects), 0)
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return damage("pack", err)
		}
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", w.op, err)
	}
	request.Packfile = io.NopCloser(&pack)
	var out bytes.Buffer
	if err := request.Encode(&out); err != nil {
		return nil, false, fmt.Errorf("%s: encode: %w", w.op, err)
	}
	return out.Bytes(), sideband64k, nil
}

// remoteCommits returns the hashes a listing names.
func remoteCommits(adv *packp.AdvRefs) map[Hash]struct{} {
	hashes := make(map[Hash]struct{}, len(adv.References))
	for _, h := range adv.References {
		hashes[Hash(h)] = struct{}{}
	}
	return hashes
}

// capped is a writer with a limit.
type capped struct {
	w    io.Writer
	left int64
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, fmt.Errorf("%w: the pack to push", ErrTooLarge)
	}
	return c.w.Write(p)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
