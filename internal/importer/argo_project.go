package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/manifest"
	"github.com/waybill-dev/waybill/internal/schedule"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReadProject translates an AppProject of Argo CD into the limits of a Project.
// Cluster patterns that name servers are left out: see Import, which knows them.
func ReadProject(object map[string]any) (v1alpha1.ProjectSpec, []Line) {
	o := newObject(manifest.Foreign{Object: object})
	spec := readProject(o, nil)
	return spec, o.finish().Lines
}

func readProject(o *object, clusters clusterNames) v1alpha1.ProjectSpec {
	var out v1alpha1.ProjectSpec
	spec := o.at("spec")
	spec.at("description").drop("there is no place for a description; annotations are kept")
	if repos := spec.at("sourceRepos"); slices.Equal(repos.texts(), []string{"*"}) {
		repos.mapped()
	} else {
		repos.drop("a Project has no list of repositories: who may write its Stages and Applications (role Admin) decides; keep that small")
	}
	spec.at("sourceNamespaces").approximate("Stages and Applications live in the Namespace of their Project")
	out.Destinations = readDestinations(spec.at("destinations"), clusters)
	out.Kinds = readKinds(spec)
	readDenied(spec)
	for i, r := range spec.at("roles").items() {
		if access := readRole(r, o.report.Name, i); access != nil {
			out.Access = append(out.Access, *access)
		}
	}
	for i, w := range spec.at("syncWindows").items() {
		if window := readWindow(w, i); window != nil {
			out.Windows = append(out.Windows, *window)
		}
	}
	spec.at("orphanedResources").drop("objects that nobody manages are not listed")
	spec.at("signatureKeys").drop("signatures of commits are not asked for; signatures of images are: signature of an image subscription")
	spec.at("sourceIntegrity").drop("signatures of commits are not asked for; signatures of images are: signature of an image subscription")
	if only := spec.at("permitOnlyProjectScopedClusters"); only.has() {
		only.approximate("clusters are named in spec.destinations")
	}
	readAccounts(spec.at("destinationServiceAccounts"), &out)
	return out
}

// readDestinations never widens: what cannot be said as narrowly is left out.
func readDestinations(f field, clusters clusterNames) []v1alpha1.ProjectDestination {
	var out []v1alpha1.ProjectDestination
	negated := false
	for _, d := range f.items() {
		for _, name := range []string{"namespace", "server", "name"} {
			if strings.HasPrefix(d.at(name).peek(), "!") && !strings.HasPrefix(d.at("namespace").peek(), "!kube-") {
				negated = true
			}
		}
	}
	for _, d := range f.items() {
		server, name, namespace := d.at("server"), d.at("name"), d.at("namespace")
		ns := namespace.peek()
		switch {
		case strings.HasPrefix(ns, "!kube-"):
			d.approximate("namespaces that begin with kube- are never a destination")
			continue
		case strings.HasPrefix(ns, "!"), strings.HasPrefix(server.peek(), "!"), strings.HasPrefix(name.peek(), "!"):
			d.drop("there is no negation: list what is allowed")
			continue
		case negated && strings.ContainsAny(ns+server.peek()+name.peek(), "*?[{"):
			d.drop("a pattern beside a negation (!) would allow more than before: list what is allowed")
			continue
		case strings.ContainsAny(ns+name.peek(), "?[{"):
			d.drop("a pattern knows only *: list what is allowed")
			continue
		case ns == "":
			d.drop("it names no namespace")
			continue
		}
		to := v1alpha1.ProjectDestination{Namespace: namespace.text()}
		switch {
		case name.peek() == "*", server.peek() == "*", !name.has() && !server.has():
			to.Cluster = "*"
			d.mapped()
		case !name.has() && strings.Contains(server.peek(), "*"):
			d.drop("a pattern of servers: name the Clusters")
			continue
		case strings.Contains(name.peek(), "*"):
			to.Cluster = name.text()
			server.mapped()
		default:
			to.Cluster = clusters.name(server, name)
		}
		if !slices.Contains(out, to) {
			out = append(out, to)
		}
	}
	return out
}

// readKinds reads what is allowed of kinds that are not namespaced.
func readKinds(spec field) []v1alpha1.ProjectKind {
	var out []v1alpha1.ProjectKind
	denied := spec.at("clusterResourceBlacklist")
	for _, k := range spec.at("clusterResourceWhitelist").items() {
		group, kind := k.at("group").text(), k.at("kind").text()
		switch {
		case k.at("name").has() && k.at("name").peek() != "*":
			k.drop("a kind is allowed by its name, not by the names of objects; it would allow more than before")
		case denied.has() && strings.Contains(group+kind, "*"):
			k.drop("a pattern beside clusterResourceBlacklist would allow more than before: list the kinds that are allowed in spec.kinds")
		case strings.ContainsAny(group+kind, "?[{") || kind == "":
			k.drop("a pattern knows only *: list the kinds")
		case group == "" && kind == "Namespace":
			k.approximate("Namespaces that are a destination are always allowed")
		default:
			k.at("name").mapped()
			out = append(out, v1alpha1.ProjectKind{Group: group, Kind: kind})
		}
	}
	denied.approximate("what spec.kinds does not name is not allowed")
	return out
}

// readDenied reads limits of namespaced kinds, which a Project has not.
func readDenied(spec field) {
	allowed := spec.at("namespaceResourceWhitelist")
	for _, k := range allowed.items() {
		if k.at("group").peek() == "*" && k.at("kind").peek() == "*" {
			allowed.mapped()
			break
		}
	}
	if allowed.of.marks[allowed.path] == "" && allowed.has() {
		allowed.drop("every namespaced kind is allowed in a Project's destinations; give spec.serviceAccountName an account that may write no others")
	}
	if denied := spec.at("namespaceResourceBlacklist"); denied.has() {
		denied.drop("every namespaced kind is allowed in a Project's destinations; give spec.serviceAccountName an account that may not write these")
	}
}

// readRole reads a role of an AppProject; nil when it cannot be said.
func readRole(f field, project string, _ int) *v1alpha1.ProjectAccess {
	f.at("name").mapped()
	f.at("description").mapped()
	f.at("jwtTokens").drop("tokens are not brought along; make new ones")
	groups := f.at("groups").texts()
	if len(groups) == 0 {
		f.at("policies").drop("nobody has this role but its tokens")
		return nil
	}
	rank := 0
	for _, p := range f.at("policies").items() {
		verb, ok := readRule(p, project)
		if !ok {
			f.drop("spec.access has roles for a whole Project: a rule that denies, or is for some Applications only, would become wider")
			return nil
		}
		rank = max(rank, verb)
	}
	if rank == 0 {
		f.at("policies").drop("it allows nothing that a role of a Project allows")
		return nil
	}
	role := []string{"", "Viewer", "Promoter", "Admin"}[rank]
	f.at("policies").approximate("it becomes %s, which is the nearest role of a Project; members sign in to Waybill", role)
	return &v1alpha1.ProjectAccess{Role: role, Groups: groups}
}

// readRule returns the rank of the role that has what one rule allows.
func readRule(f field, project string) (rank int, ok bool) {
	parts := strings.Split(f.text(), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	if len(parts) != 6 || parts[0] != "p" || parts[5] != "allow" {
		return 0, len(parts) > 0 && parts[0] == "g"
	}
	if object := parts[4]; object != project+"/*" && object != "*" && object != "*/*" {
		return 0, false
	}
	switch resource, action := parts[2], parts[3]; {
	case resource != "applications" && resource != "logs" && resource != "applicationsets" && resource != "*":
		return 0, true
	case action == "get":
		return 1, true
	case action == "sync", action == "rollback", strings.HasPrefix(action, "action/"):
		return 2, true
	default:
		return 3, true
	}
}

// readWindow reads a sync window; nil when it cannot be said.
func readWindow(f field, i int) *v1alpha1.PromotionWindow {
	w := v1alpha1.PromotionWindow{Name: fmt.Sprintf("window-%d", i+1), Schedule: f.at("schedule").text(), TimeZone: f.at("timeZone").text(), Scope: v1alpha1.FreezeAll, Reason: f.at("description").text()}
	switch f.at("kind").text() {
	case "allow":
		w.Kind = v1alpha1.WindowAllow
	case "deny":
		w.Kind = v1alpha1.WindowDeny
	default:
		f.drop("kind is neither allow nor deny")
		return nil
	}
	open, err := time.ParseDuration(f.at("duration").text())
	if err != nil || open < time.Minute || open > 31*24*time.Hour {
		f.drop("duration has to be between 1m and 744h")
		return nil
	}
	w.Duration = metav1.Duration{Duration: open}
	if _, err := schedule.Parse(w.Schedule, w.TimeZone, open); err != nil {
		f.drop("%v", err)
		return nil
	}
	if f.at("manualSync").is() {
		w.Scope = v1alpha1.FreezeAutomatic
	}
	if overrun := f.at("syncOverrun"); overrun.is() {
		overrun.mapped()
	}
	apps := f.at("applications").texts()
	others := len(f.at("namespaces").texts())+len(f.at("clusters").texts()) > 0
	switch and := f.at("andOperator").is(); {
	case others && (len(apps) == 0 || !and):
		f.drop("a window is for Stages by their names, not for namespaces and clusters: write it into spec.windows of the Project")
		return nil
	case others:
		f.at("namespaces").approximate("the window is for the Stages that applications names, in every namespace")
		f.at("clusters").approximate("the window is for the Stages that applications names, in every cluster")
	}
	if !slices.Contains(apps, "*") {
		w.Stages = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(apps))), func(a string) bool { return strings.ContainsAny(a, "?[{!") })
		if len(w.Stages) < len(apps) || len(w.Stages) == 0 {
			f.at("applications").drop("a pattern knows only *: write the window into spec.windows of the Project")
			return nil
		}
	}
	f.at("applications").approximate("a window stops promotions into the Stages of these names; an Application that no Stage owns is synced at any time")
	return &w
}

// readAccounts reads whom objects are written as.
func readAccounts(f field, out *v1alpha1.ProjectSpec) {
	list := f.items()
	if len(list) == 1 {
		account := list[0].at("defaultServiceAccount").peek()
		_, name, qualified := strings.Cut(account, ":")
		if !qualified {
			name = account
		}
		if nameOf(name) == name && name != "" {
			out.ServiceAccountName = cmp.Or(name)
			f.approximate("it is a ServiceAccount of the Project's Namespace in the destination cluster; make it there, and switch server.impersonateServiceAccounts on")
			return
		}
	}
	f.drop("a Project has one spec.serviceAccountName; Applications and deploy entries may name others")
}
