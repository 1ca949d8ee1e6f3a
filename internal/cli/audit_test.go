package cli

import (
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// auditEntries are one of each sort, newest first.
func auditEntries() []model.AuditEntry {
	return []model.AuditEntry{
		{At: noon.Add(-time.Minute), Action: model.AuditThaw, Project: "guestbook", Stage: "*", Kind: "Freeze", Name: "freeze-all-x7k2p"},
		{At: noon.Add(-time.Hour), Action: model.AuditApprove, Actor: "waybill:ada", Project: "guestbook", Stage: "prod", Kind: "Approval", Name: "a1", Promotion: "prod.7.f2222222", Reason: "looks good", Via: "api"},
		{At: noon.Add(-48 * time.Hour), Action: model.AuditReject, Actor: "waybill:bob", Project: "guestbook", Stage: "prod", Kind: "Freeze", Name: "rejected-prod-1", Freight: []string{newFreight}, Reason: "leaks", Until: noon, Via: "kubectl-create"},
		{At: noon.Add(-72 * time.Hour), Action: model.AuditSignIn, Actor: "waybill:ada", Kind: "token", Name: "ada", Reason: "laptop"},
	}
}
