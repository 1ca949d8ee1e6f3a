package importer

import (
	"cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// mechanismLosses are fields of gitRepoUpdates without a place here.
func mechanismLosses() map[string]loss {
	origin := notNeeded("images and charts are found by their repository")
	caCert := lost("certificates are always checked: put the authority under caCert of the credential Secret")
	return map[string]loss{
		"origin": origin, "helm.origin": origin, "helm.images[].origin": origin, "helm.charts[].origin": origin,
		"kustomize.origin": origin, "kustomize.images[].origin": origin,
		"insecureSkipTLSVerify": caCert,
		"render":                {outcome: Mapped}, // told by readRender
	}
}

// readMechanisms reads promotionMechanisms, which Kargo had up to v0.9 and Waybill
// has as the short form.
func (s *stage) readMechanisms(f field) {
	if !f.has() {
		return
	}
	f.at("origin").approximate("images and charts are found by their repository")
	m := &v1alpha1.PromotionMechanisms{}
	for _, u := range f.at("gitRepoUpdates").items() {
		var update v1alpha1.GitRepoUpdate
		if !u.into(&update, mechanismLosses(), changes("a promotion writes no such thing here")) {
			continue
		}
		update.RepoURL = address(u.at("repoURL"), update.RepoURL)
		readRender(u.at("render"))
		if update.WriteBranch == "" {
			u.block("it names no writeBranch, which a promotion writes")
			continue
		}
		if update.PullRequest != nil {
			u.at("pullRequest").mapped()
		}
		m.GitRepoUpdates = append(m.GitRepoUpdates, update)
	}
	for _, a := range f.at("argoCDAppUpdates").items() {
		s.readAppUpdate(a)
	}
	if len(m.GitRepoUpdates) > 0 {
		s.out.Spec.PromotionMechanisms = m
	}
}

func readRender(f field) {
	if !f.there() { // an empty one renders as well
		return
	}
	if len(f.at("images").items()) > 0 {
		f.block("Kargo Render: write the images into kustomize.images, and let spec.deploy render the folder")
		return
	}
	f.block("Kargo Render: spec.deploy renders the folder; or write steps that do (kustomize-build, helm-template)")
}

// readAppUpdate reads what is done to an Application of Argo CD.
func (s *stage) readAppUpdate(f field) {
	r := reference{field: f.at("appName"), name: f.at("appName").text(), namespace: cmp.Or(f.at("appNamespace").text(), "argocd")}
	f.at("origin").approximate("images and charts are found by their repository")
	for _, u := range f.at("sourceUpdates").items() {
		u.at("repoURL").mapped()
		u.at("chart").mapped()
		u.at("origin").approximate("images and charts are found by their repository")
		u.at("updateTargetRevision").approximate("what is synced is the commit that the promotion has made")
		u.at("kustomize").block("images of an Application itself: write them into the repository, by kustomize.images of gitRepoUpdates")
		u.at("helm").block("parameters of an Application itself: write them into the repository, by helm.images of gitRepoUpdates")
	}
	s.updates = append(s.updates, r)
}
