package promotion

import "github.com/waybill-dev/waybill/api/v1alpha1"

// ApplicationName returns the name of the Application of one deploy entry: the
// Stage's, or <stage>-<entry> when there are several (10-contracts) or may be.
func ApplicationName(stage *v1alpha1.Stage, d *v1alpha1.Deployment) string {
	if d.Name != "" && (len(stage.Spec.Deploy) > 1 || d.ForEach != nil) {
		return stage.Name + "-" + d.Name
	}
	return stage.Name
}

// ApplicationSource returns what the Application of one deploy entry reads;
// repository and branch default to those that a promotion writes (Home).
func ApplicationSource(stage *v1alpha1.Stage, d *v1alpha1.Deployment) v1alpha1.ApplicationSource {
	source := v1alpha1.ApplicationSource{
		RepoURL: d.Source.RepoURL, TargetRevision: d.Source.TargetRevision,
		Path: d.Source.Path, Directory: d.Source.Directory, Kustomize: d.Source.Kustomize, Helm: d.Source.Helm,
	}
	writes := Writes(stage)
	if len(writes) == 0 {
		return source
	}
	home := Home(writes)
	if source.RepoURL == "" {
		source.RepoURL = home.RepoURL
	}
	if source.TargetRevision == "" && home.RepoURL == source.RepoURL {
		source.TargetRevision = home.Branch
	}
	for _, w := range writes {
		if source.TargetRevision == "" && w.RepoURL == source.RepoURL {
			source.TargetRevision = w.Branch
		}
	}
	return source
}
