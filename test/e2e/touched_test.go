package e2e

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// deployed is what a Stage has in the cluster at one moment.
type deployed struct {
	w         *world
	namespace string
	versions  map[string]string
}

// deployed remembers a Stage's objects with their versions. The Stage is
// Healthy, so that nothing but a new write changes them.
func (w *world) deployed(stage string) *deployed {
	w.t.Helper()
	d := &deployed{w: w, namespace: w.project + "-" + stage}
	d.versions = d.now()
	if len(d.versions) != 2 {
		w.t.Fatalf("%s holds %v, want a Deployment and a Service", d.namespace, d.versions)
	}
	return d
}

func (d *deployed) now() map[string]string {
	d.w.t.Helper()
	var deployments appsv1.DeploymentList
	var services corev1.ServiceList
	for _, list := range []client.ObjectList{&deployments, &services} {
		if err := d.w.client.List(d.w.t.Context(), list, client.InNamespace(d.namespace)); err != nil {
			d.w.t.Fatal(err)
		}
	}
	out := map[string]string{}
	for i := range deployments.Items {
		out["Deployment/"+deployments.Items[i].Name] = version(&deployments.Items[i])
	}
	for i := range services.Items {
		out["Service/"+services.Items[i].Name] = version(&services.Items[i])
	}
	return out
}

func version(o client.Object) string {
	return fmt.Sprintf("uid %s generation %d resourceVersion %s", o.GetUID(), o.GetGeneration(), o.GetResourceVersion())
}

// untouched fails the test when any of the objects was written, deleted or
// joined by another since.
func (d *deployed) untouched() {
	d.w.t.Helper()
	now := d.now()
	for name, before := range d.versions {
		if now[name] != before {
			d.w.t.Errorf("%s in %s was touched: %s, now %q", name, d.namespace, before, now[name])
		}
	}
	for name := range now {
		if _, known := d.versions[name]; !known {
			d.w.t.Errorf("%s in %s is new", name, d.namespace)
		}
	}
}
