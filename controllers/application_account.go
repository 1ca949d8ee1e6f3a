package controllers

import (
	"cmp"
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Whom an Application writes as. Watches, and so health, are shared by all
// Applications of a cluster and stay Waybill's own; every request that writes, and
// the reads that belong to one, are the account's.

// accountOf returns the ServiceAccount that everything of app is written as; empty:
// Waybill's own.
func accountOf(app *v1alpha1.Application, project *v1alpha1.Project) string {
	return cmp.Or(app.Spec.ServiceAccountName, project.Spec.ServiceAccountName)
}

// actAs makes o write as the account of the Application.
func (r *ApplicationReconciler) actAs(s *appState, o *observation, project *v1alpha1.Project) *problem {
	account := accountOf(o.app, project)
	s.mu.Lock()
	s.account = account
	s.mu.Unlock()
	if account == "" {
		return nil
	}
	if !r.opts.Impersonates {
		return &problem{reason: reasonImpersonationOff, message: fmt.Sprintf(
			"serviceAccountName is %q, and this server does not write as ServiceAccounts; switch on server.impersonateServiceAccounts of the chart, or remove the name. What runs stays as it is", account)}
	}
	t, err := r.targetAs(o.t, s.name.Namespace, account)
	if err != nil {
		return &problem{reason: reasonInvalidSpec, message: err.Error() + "; correct serviceAccountName"}
	}
	o.t = t
	return nil
}

// actAsForDeletion is actAs for an Application that is being deleted: its Project
// may be gone, and then it is what it was.
func (r *ApplicationReconciler) actAsForDeletion(ctx context.Context, s *appState, o *observation) error {
	_, project, err := projectLimits(ctx, r.opts.Client, o.app.Namespace, r.opts.SystemNamespace)
	if err != nil {
		return err
	}
	o.problem = r.actAs(s, o, project)
	return nil
}

// healsAs makes h write as the account of the Application; false when that cannot
// be done, and nothing may be healed.
func (r *ApplicationReconciler) healsAs(s *appState, h *healing) bool {
	s.mu.Lock()
	account := s.account
	s.mu.Unlock()
	if account == "" {
		return true
	}
	if !r.opts.Impersonates {
		return false
	}
	t, err := r.targetAs(h.t, s.name.Namespace, account)
	if err == nil {
		h.t = t
	}
	return err == nil
}

// targetAs returns t for those who write as an account: the same watches, other
// clients on the same connections.
func (r *ApplicationReconciler) targetAs(t *target, namespace, account string) (*target, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := namespace + "/" + account
	if known := t.accounts[key]; known != nil {
		return known, nil
	}
	c, err := t.cluster.As(namespace, account)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the account already
	}
	as := &target{cluster: c, hub: t.hub, applier: t.applier.As(c), pods: t.pods}
	if t.accounts == nil {
		t.accounts = map[string]*target{}
	}
	t.accounts[key] = as
	return as, nil
}
