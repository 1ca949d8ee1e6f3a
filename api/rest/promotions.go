package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
)

// maxNameTries is how often a name that was just taken is followed by the next.
const maxNameTries = 10

// buildPromotion returns the page of one Promotion: of its object, or of what is
// kept of it.
func (s *Server) buildPromotion(ctx context.Context, project, name string) (model.Promotion, error) {
	v, p, err := s.loadPromotion(ctx, project, name)
	switch {
	case err != nil:
		return model.Promotion{}, err
	case p == nil:
		return s.recorded(ctx, project, name)
	}
	return v.promotionModel(p), nil
}

// loadPromotion returns a Project and the Promotion of that name, nil when there
// is none. What the cache does not have is asked for: it may have been created a
// moment ago, here or by another replica, and who created it asks for it next.
func (s *Server) loadPromotion(ctx context.Context, project, name string) (*projectView, *v1alpha1.Promotion, error) {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	named := func(p v1alpha1.Promotion) bool { return p.Name == name }
	if i := slices.IndexFunc(v.promotions, named); i >= 0 {
		return v, &v.promotions[i], nil
	}
	if len(content.IsPathSegmentName(name)) > 0 {
		return v, nil, nil
	}
	var p v1alpha1.Promotion
	switch err := s.own.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, &p); {
	case apierrors.IsNotFound(err):
		return v, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read Promotion %q of Project %q: %w", name, project, err)
	}
	v.promotions = append(v.promotions, p)
	v.index()
	return v, &v.promotions[slices.IndexFunc(v.promotions, named)], nil
}

func noPromotion(project, name string) *refusal {
	return refuse(model.NotFound, "no Promotion %q in Project %q", name, project).withHint("waybill history -p %s", project)
}

// GetPromotion returns one Promotion.
func (s *Server) GetPromotion(ctx context.Context, request GetPromotionRequestObject) (GetPromotionResponseObject, error) {
	p, err := s.hub.current(ctx, topicPromotion(request.Project, request.Promotion))
	if err != nil {
		return nil, err
	}
	return rawPage(p.data), nil
}

// ListPromotions returns Promotions, newest first.
func (s *Server) ListPromotions(ctx context.Context, request ListPromotionsRequestObject) (ListPromotionsResponseObject, error) {
	q := request.Params
	list, err := s.listPromotions(ctx, request.Project, q.Stage, q.Phase, q.Limit, q.Page)
	return ListPromotions200JSONResponse(list), err
}

func (s *Server) listPromotions(ctx context.Context, project, stage string, phase model.Phase, limit int, token string) (model.PromotionList, error) {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return model.PromotionList{}, err
	}
	if stage != "" {
		if _, err := v.stage(stage); err != nil && len(v.promotionsOf[stage]) == 0 {
			return model.PromotionList{}, err
		}
	}
	var match []*v1alpha1.Promotion
	for i := range v.promotions {
		p := &v.promotions[i]
		if (stage == "" || p.Spec.Stage == stage) && (phase == "" || phaseWord(phaseOf(p), p.Status.Reason) == phase) {
			match = append(match, p)
		}
	}
	// v.promotions are ordered by time, then number, then name; so is the key.
	key := func(p *v1alpha1.Promotion) string {
		return fmt.Sprintf("%020d %020d %s", p.CreationTimestamp.UnixNano(), promotion.Seq(p.Name), p.Name)
	}
	slices.SortFunc(match, func(a, b *v1alpha1.Promotion) int { return strings.Compare(key(b), key(a)) })
	items, next, err := paginate(match, limit, token, key, afterKey(key, true))
	if err != nil {
		return model.PromotionList{}, err
	}
	out := model.PromotionList{Items: []model.Promotion{}, NextPage: next}
	for _, p := range items {
		out.Items = append(out.Items, v.shortPromotion(p))
	}
	return out, nil
}

// Promote makes a Promotion as the person.
func (s *Server) Promote(ctx context.Context, request PromoteRequestObject) (PromoteResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	m, err := s.once(ctx, v, func() (model.Promotion, error) { return s.promote(ctx, v, st, *request.Body, "") })
	if err != nil {
		return nil, err
	}
	return Promote202JSONResponse{Body: m, Headers: Promote202ResponseHeaders{Location: locationOf(m)}}, nil
}

// promote makes a Promotion as the person, unless the Freight is on its way into
// the Stage already. retryOf, when set, is the Promotion that is tried again.
func (s *Server) promote(ctx context.Context, v *projectView, st *v1alpha1.Stage, body model.PromoteRequest, retryOf string) (model.Promotion, error) {
	var none model.Promotion
	bypass, err := s.bypassOf(ctx, st, body)
	if err != nil {
		return none, err
	}
	r, err := v.resolveForPromote(st, body.Freight, bypass)
	if err != nil {
		return none, err
	}
	if promotion.IsControlFlow(st) {
		return none, refuse(model.InvalidRequest, "nothing is promoted into %q: Freight passes through it by itself", st.Name)
	}
	if err := s.mayEnter(ctx, v, st, r.freight, bypass, body.PlanHash); err != nil {
		return none, err
	}
	for _, p := range v.promotionsOf[st.Name] {
		if isOnTheWay(p, r.freight.Name) && containsAll(p.Spec.Bypass, bypass) {
			return v.promotionModel(p), nil
		}
	}
	spec := v1alpha1.PromotionSpec{
		Stage: st.Name, Kind: v1alpha1.KindPromote, Freight: r.freight.Name, Reason: body.Reason, Bypass: bypass, RetryOf: retryOf,
	}
	p, err := s.createPromotion(ctx, v, st, spec, r.freight.Name)
	if err != nil {
		return none, err
	}
	return v.promotionModel(p), nil
}

// mayEnter refuses what an entry gate shuts out, and a plan that is another than
// the person saw. Git is read only when one of the two asks for it.
func (s *Server) mayEnter(ctx context.Context, v *projectView, st *v1alpha1.Stage, f *v1alpha1.Freight, bypass []v1alpha1.Gate, planHash string) error {
	p := asked(st, f)
	p.Spec.Bypass = bypass
	gates := func() error {
		verdicts := promotion.Gates(unfinished(v.observe(st)), f, promotion.AskOf(p))
		if blocking := promotion.Blocking(verdicts, promotion.GroupEntry); len(blocking) > 0 {
			return v.gateClosed(st, f, blocking)
		}
		return nil
	}
	if err := gates(); err != nil || planHash == "" && !promotion.NeedsSameBase(st, f) {
		return err
	}
	preview, err := s.preview(ctx, st, p, f)
	switch {
	case err != nil:
		return fmt.Errorf("plan %s/%s: %w", st.Namespace, st.Name, err)
	case preview == nil && planHash != "":
		return planChanged(st.Namespace, st.Name)
	case preview == nil:
		return nil // the Promotion controller looks
	}
	p.Status.Plan = preview.Plan
	if err := gates(); err != nil {
		return err
	}
	if planHash != "" && preview.Plan.Hash != planHash {
		return planChanged(st.Namespace, st.Name)
	}
	return nil
}

// resolveForPromote is resolveFor, save that with a bypass latest is simply the
// newest: the person has said that gates may be closed.
func (v *projectView) resolveForPromote(st *v1alpha1.Stage, text string, bypass []v1alpha1.Gate) (resolved, error) {
	if text != "latest" || len(bypass) == 0 {
		return v.resolveFor(st, text)
	}
	origins := originsOf(st)
	for i := range v.freight {
		if slices.Contains(origins, v.freight[i].Origin.Name) {
			return resolved{freight: &v.freight[i]}, nil
		}
	}
	return v.resolveFor(st, text)
}

func locationOf(m model.Promotion) string {
	return "/api/v1/projects/" + m.Project + "/promotions/" + m.Name
}

// isOnTheWay reports whether p carries the Freight and has not ended.
func isOnTheWay(p *v1alpha1.Promotion, freight string) bool {
	return kindOf(p) == v1alpha1.KindPromote && p.Spec.Freight == freight && p.Spec.Abort == nil && !phaseOf(p).IsFinished()
}

func containsAll(have, want []v1alpha1.Gate) bool {
	for _, g := range want {
		if !slices.Contains(have, g) {
			return false
		}
	}
	return true
}

// bypassOf returns the gates to pass after asking for the right to; admission
// asks again.
func (s *Server) bypassOf(ctx context.Context, st *v1alpha1.Stage, body model.PromoteRequest) ([]v1alpha1.Gate, error) {
	if len(body.Bypass) == 0 {
		return nil, nil
	}
	if strings.TrimSpace(body.Reason) == "" {
		return nil, refuse(model.InvalidRequest, "passing a gate needs a reason").withHint("--reason, which is kept in the history")
	}
	action := identity.Action{Verb: "bypass", Group: v1alpha1.Group, Resource: "stages", Namespace: st.Namespace, Name: st.Name}
	allowed, err := s.may(ctx, action)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, forbidden(action)
	}
	var out []v1alpha1.Gate
	for _, g := range body.Bypass {
		if !slices.Contains(out, v1alpha1.Gate(g)) {
			out = append(out, v1alpha1.Gate(g))
		}
	}
	return out, nil
}

// createPromotion writes a Promotion as the person, under the next free name of
// the Stage. When the same request was written a moment ago, that one is
// returned, so that a request sent twice is one Promotion.
func (s *Server) createPromotion(ctx context.Context, v *projectView, st *v1alpha1.Stage, spec v1alpha1.PromotionSpec, freight string) (*v1alpha1.Promotion, error) {
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	spec.RequestedBy = person.User
	seq := promotion.NextSeq(st, v.observe(st).Promotions)
	for range maxNameTries {
		p := &v1alpha1.Promotion{
			ObjectMeta: metav1.ObjectMeta{Name: promotion.Name(st.Name, seq, freight), Namespace: st.Namespace, Labels: map[string]string{v1alpha1.LabelStage: st.Name}},
			Spec:       spec,
		}
		keyOf(ctx).mark(p)
		err := c.Create(ctx, p)
		if err == nil {
			return p, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fromKube(fmt.Sprintf("create Promotion in %q", st.Namespace), err)
		}
		var there v1alpha1.Promotion
		if err := c.Get(ctx, client.ObjectKeyFromObject(p), &there); err == nil && isSameRequest(&there, p) {
			return &there, nil
		}
		seq++
	}
	return nil, refuse(model.Conflict, "other Promotions into %q are being made at the same time", st.Name).withHint("try again")
}

func isSameRequest(a, b *v1alpha1.Promotion) bool {
	return !phaseOf(a).IsFinished() && a.Spec.Abort == nil && kindOf(a) == kindOf(b) && a.Spec.Freight == b.Spec.Freight &&
		a.Spec.To == b.Spec.To && a.Spec.RequestedBy == b.Spec.RequestedBy && slices.Equal(a.Spec.Bypass, b.Spec.Bypass)
}

// AbortPromotion stops a Promotion, as the person.
func (s *Server) AbortPromotion(ctx context.Context, request AbortPromotionRequestObject) (AbortPromotionResponseObject, error) {
	v, found, err := s.loadPromotion(ctx, request.Project, request.Promotion)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, noPromotion(request.Project, request.Promotion)
	}
	p := found.DeepCopy()
	switch {
	case p.Spec.Abort != nil:
		return AbortPromotion202JSONResponse(v.promotionModel(p)), nil
	case phaseOf(p).IsFinished():
		return nil, refuse(model.Conflict, "Promotion %q has ended: %s", p.Name, phaseOf(p)).
			withHint("waybill rollback %s/%s takes back what it did", p.Namespace, p.Spec.Stage)
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"abort": v1alpha1.Abort{By: person.User, Reason: request.Body.Reason}}})
	if err != nil {
		return nil, err
	}
	if err := c.Patch(ctx, p, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return nil, fromKube(fmt.Sprintf("abort Promotion %q", p.Name), err)
	}
	return AbortPromotion202JSONResponse(v.promotionModel(p)), nil
}
