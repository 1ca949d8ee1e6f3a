package rest

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
)

// maxBreaks bounds the breaks of one answer.
const maxBreaks = 100

// VerifyAudit looks at a part of the audit trail's chain.
func (s *Server) VerifyAudit(ctx context.Context, request VerifyAuditRequestObject) (VerifyAuditResponseObject, error) {
	if err := s.mayReadAll(ctx); err != nil {
		return nil, err
	}
	q := request.Params
	if (q.Noted == 0) != (q.NotedHash == "") {
		return nil, refuse(model.InvalidRequest, "noted and notedHash belong together")
	}
	part := history.Part{After: chain.Head{Seq: q.After, Hash: q.Hash}, Noted: chain.Head{Seq: q.Noted, Hash: q.NotedHash}, Limit: q.Limit}
	if q.After == 0 {
		part.After = chain.Start()
	}
	out := model.AuditVerdict{Last: headModel(part.After), Head: headModel(chain.Start()), Done: true, Breaks: []model.AuditBreak{}}
	if s.opts.History == nil {
		return VerifyAudit200JSONResponse(out), nil
	}
	limited, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	v, err := s.opts.History.Verify(limited, part)
	if err != nil {
		return nil, ofStore(ctx, "verify the chain", err)
	}
	out.Rows, out.Last, out.Head, out.Done = v.Rows, headModel(v.Last), headModel(v.Head), v.Done
	for _, b := range v.Breaks[:min(len(v.Breaks), maxBreaks)] {
		out.Breaks = append(out.Breaks, model.AuditBreak{Seq: b.Seq, Kind: model.AuditBreakKind(b.Kind), Detail: b.Detail})
	}
	return VerifyAudit200JSONResponse(out), nil
}

// AuditChain returns rows of the audit trail with their hashes.
func (s *Server) AuditChain(ctx context.Context, request AuditChainRequestObject) (AuditChainResponseObject, error) {
	if err := s.mayReadAll(ctx); err != nil {
		return nil, err
	}
	q := request.Params
	out := model.AuditRows{Items: []model.AuditRow{}}
	if s.opts.History == nil {
		return AuditChain200JSONResponse(out), nil
	}
	limited, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	after := q.After
	if !q.Since.IsZero() {
		first, err := s.opts.History.FirstSince(limited, q.Since)
		if err != nil {
			return nil, ofStore(ctx, "look for a time in the chain", err)
		}
		after = max(after, first-1)
	}
	links, err := s.opts.History.Links(limited, after, q.Limit)
	if err != nil {
		return nil, ofStore(ctx, "read the chain", err)
	}
	for _, l := range links {
		out.Items = append(out.Items, model.AuditRow{Seq: l.Seq, Prev: l.Prev, Hash: l.Hash, Entry: l.Entry})
	}
	return AuditChain200JSONResponse(out), nil
}

func headModel(h chain.Head) model.AuditHead { return model.AuditHead{Seq: h.Seq, Hash: h.Hash} }

// ofStore is an error of the store as people get it; ctx is the request's.
func ofStore(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil {
		return noStore(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
