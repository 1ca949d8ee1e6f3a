package manifest

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// Existing is what is in the cluster already. The zero value means that nobody
// looked: then only faults that show in the files alone are found.
type Existing struct {
	// IsComplete says that Stages, Warehouses and Tasks hold everything there is
	// in the Projects of the documents.
	IsComplete bool
	Stages     []v1alpha1.Stage
	Warehouses []v1alpha1.Warehouse
	Tasks      []v1alpha1.PromotionTask
}

// Add takes in one object of a Project, as JSON; of kinds that Lint does not look
// at it takes none.
func (e *Existing) Add(raw []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return fmt.Errorf("read an object: %w", err)
	}
	var err error
	switch kind.Kind {
	case "Stage":
		e.Stages, err = appendDecoded(e.Stages, raw)
	case "Warehouse":
		e.Warehouses, err = appendDecoded(e.Warehouses, raw)
	case "PromotionTask":
		e.Tasks, err = appendDecoded(e.Tasks, raw)
	}
	if err != nil {
		return fmt.Errorf("read a %s: %w", kind.Kind, err)
	}
	return nil
}

func appendDecoded[T any](to []T, raw []byte) ([]T, error) {
	var one T
	err := json.Unmarshal(raw, &one)
	return append(to, one), err //nolint:wrapcheck // the caller names the kind
}

// Lint finds what would fail at run time: Stages that wait for each other,
// Stages that name no Warehouse or no Stage, places written by two Stages, and
// images that no Warehouse delivers; and what each controller would refuse of its
// own objects. The rules are theirs: promotion.CheckStage, warehouse.Compile,
// repourl.ParseGit, credentials.Parse, hook.Compile.
func Lint(docs []Document, existing Existing) []Finding {
	projects := map[string]*project{}
	at := func(ns string) *project {
		if projects[ns] == nil {
			projects[ns] = &project{stages: map[string]v1alpha1.Stage{}, warehouses: map[string]*v1alpha1.Warehouse{}, tasks: map[string]v1alpha1.PromotionTask{}}
		}
		return projects[ns]
	}
	for _, s := range existing.Stages {
		at(s.Namespace).stages[s.Name] = s
	}
	for i := range existing.Warehouses {
		w := &existing.Warehouses[i]
		at(w.Namespace).warehouses[w.Name] = w
	}
	for _, t := range existing.Tasks {
		at(t.Namespace).tasks[t.Name] = t
	}
	for i := range docs {
		switch obj := docs[i].Object.(type) {
		case *v1alpha1.Stage:
			s := *obj
			s.Namespace = docs[i].Namespace
			at(s.Namespace).stages[s.Name] = s
		case *v1alpha1.Warehouse:
			at(docs[i].Namespace).warehouses[obj.Name] = obj
		case *v1alpha1.PromotionTask:
			at(docs[i].Namespace).tasks[obj.Name] = *obj
		}
	}
	out := lintChannels(docs)
	for i := range docs {
		out = append(out, lintAlone(&docs[i])...)
		if _, ok := docs[i].Object.(*v1alpha1.Stage); ok {
			out = append(out, at(docs[i].Namespace).lint(&docs[i], existing.IsComplete)...)
		}
	}
	sortFindings(out)
	return out
}

// project is what a Project will hold after apply.
type project struct {
	stages     map[string]v1alpha1.Stage
	warehouses map[string]*v1alpha1.Warehouse
	tasks      map[string]v1alpha1.PromotionTask
}

func (p *project) lint(d *Document, isComplete bool) []Finding {
	stage := p.stages[d.Name]
	stages := make([]v1alpha1.Stage, 0, len(p.stages))
	for _, s := range p.stages {
		stages = append(stages, s)
	}
	sort.Slice(stages, func(i, j int) bool { return stages[i].Name < stages[j].Name })
	names := make([]string, 0, len(p.warehouses))
	for name := range p.warehouses {
		names = append(names, name)
	}
	sort.Strings(names)
	tasks := make([]v1alpha1.PromotionTask, 0, len(p.tasks))
	for _, t := range p.tasks {
		tasks = append(tasks, t)
	}
	var out []Finding
	for _, problem := range promotion.CheckStage(&stage, stages, names, tasks) {
		severity, field, message := Error, "spec.requestedFreight", problem.Message
		switch problem.Reason {
		case promotion.ReasonNoCluster:
			continue // Clusters are not looked at here; the Stage says so when there is none
		case promotion.ReasonUnknownWarehouse, promotion.ReasonUnknownStage, promotion.ReasonUnknownTask:
			if !isComplete {
				continue // may well be in the cluster
			}
			severity = Warning
		case promotion.ReasonSharedPath:
			field = "spec.promotionMechanisms"
			if stage.Spec.PromotionTemplate != nil {
				field = "spec.promotionTemplate"
			}
		}
		if path, rest, ok := strings.Cut(message, ": "); ok && strings.HasPrefix(path, "spec.") && !strings.Contains(path, " ") {
			field, message = path, rest
		}
		out = append(out, d.Finding(severity, field, strings.TrimPrefix(message, field+" ")))
	}
	return append(out, p.lintImages(d, &stage)...)
}

// lintImages finds images that none of the Warehouses a Stage takes Freight of
// delivers. It stays silent when one of those Warehouses is not known.
func (p *project) lintImages(d *Document, stage *v1alpha1.Stage) []Finding {
	if stage.Spec.PromotionMechanisms == nil {
		return nil
	}
	var delivered []v1alpha1.Subscription
	var from []string
	for _, r := range stage.Spec.RequestedFreight {
		w := p.warehouses[r.Origin.Name]
		if w == nil {
			return nil
		}
		from = append(from, fmt.Sprintf("%q", w.Name))
		delivered = append(delivered, w.Spec.Subscriptions...)
	}
	var out []Finding
	for i, u := range stage.Spec.PromotionMechanisms.GitRepoUpdates {
		check := func(field, image string) {
			if !delivers(delivered, image) {
				out = append(out, d.Finding(Warning, fmt.Sprintf("spec.promotionMechanisms.gitRepoUpdates[%d].%s.image", i, field),
					fmt.Sprintf("Warehouse %s does not deliver image %q; subscribe to it or correct the name", strings.Join(from, ", "), image)))
			}
		}
		for j, img := range u.Kustomize.Images {
			check(fmt.Sprintf("kustomize.images[%d]", j), img.Image)
		}
		for j, img := range u.Helm.Images {
			check(fmt.Sprintf("helm.images[%d]", j), img.Image)
		}
	}
	return out
}

// Order sorts documents for apply: Namespace, Project, Secret, Warehouse,
// PromotionTask, Stage, then the rest; those of one kind stay in their order. A Project
// makes the Namespace that is not there when it comes, and takes along what it made when
// it goes: who made it must not depend on who was faster.
func Order(docs []Document) []Document {
	rank := map[string]int{"Namespace": 0, "Project": 1, "Secret": 2, "Cluster": 3, "Warehouse": 3, "PromotionTask": 4, "Stage": 5, "Application": 6, "Freeze": 7, "Promotion": 8, "Approval": 9}
	out := append([]Document(nil), docs...)
	sort.SliceStable(out, func(i, j int) bool { return rank[out[i].Kind] < rank[out[j].Kind] })
	return out
}
