package importer

import (
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// task is a PromotionTask in the making.
type task struct {
	of    *object
	out   v1alpha1.PromotionTask
	steps []*step
	vars  map[string]string
	// projects that call it.
	projects map[string]bool
}

func (i *importing) readTask(o *object) {
	o.done = true
	t := &task{of: o, vars: map[string]string{}, projects: map[string]bool{}}
	t.out.Labels, t.out.Annotations = readMeta(o, nil)
	t.out.Name = o.report.Name
	spec := o.at("spec")
	t.out.Spec.Vars = readVars(spec.at("vars"), t.vars)
	t.steps = readSteps(spec.at("steps"))
	key := "/" + o.report.Name
	if o.report.Kind == "PromotionTask" {
		home := i.home(o)
		key = home + key
		t.projects[home] = true
	}
	i.kargo.tasks[key] = t
}

// taskOf returns the task that a step of a Stage calls, if it is imported along.
func (i *importing) taskOf(project string, s *step) *task {
	if s.out.Task == nil {
		return nil
	}
	if s.out.Task.Kind == "ClusterPromotionTask" {
		return i.kargo.tasks["/"+s.out.Task.Name]
	}
	return i.kargo.tasks[project+"/"+s.out.Task.Name]
}

// isEmpty says that no step of the task is left.
func (t *task) isEmpty() bool {
	for _, s := range t.steps {
		if !s.removed {
			return false
		}
	}
	return true
}

// writeTasks writes each task into the Projects that call it.
func (i *importing) writeTasks() {
	for _, s := range i.kargo.stages {
		for _, step := range s.steps {
			switch t := i.taskOf(s.out.Namespace, step); {
			case step.out.Task == nil:
			case t == nil:
				step.at("task").approximate("the task is not among what is imported: it has to be there when the Stage is applied")
			case t.isEmpty():
				step.removed = true
				step.approximate("nothing is left of the task: see there")
			default:
				t.projects[s.out.Namespace] = true
				if step.out.Task.Kind == "ClusterPromotionTask" && i.kargo.tasks[s.out.Namespace+"/"+step.out.Task.Name] != nil {
					step.at("task").block("the Project has a task of the same name, which is called now: rename one of the two")
				}
			}
		}
	}
	for _, key := range sortedKeys(i.kargo.tasks) {
		t := i.kargo.tasks[key]
		if t.isEmpty() {
			t.of.add(Approximated, "spec.steps", "nothing is left to do", false)
			continue
		}
		if len(t.projects) == 0 {
			t.of.add(Dropped, "", "no Stage that is imported calls it: a PromotionTask belongs to a Project", false)
		}
		t.out.Spec.Steps = writeSteps(t.steps, t.of)
		for _, project := range sortedKeys(t.projects) {
			out := t.out.DeepCopy()
			out.Namespace = project
			i.write("PromotionTask", project, out.Name, out, t.of)
		}
	}
}
