package importer

import (
	"path"
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// updaterPrefix is that of the Image Updater's annotations.
const updaterPrefix = updaterGroup + "/"

// imageUpdates is what the Image Updater of Argo CD does for an Application.
type imageUpdates struct {
	images []imageUpdate
	// target is where it writes: kustomization[:PATH], helmvalues:PATH, or empty for
	// the parameters of the Application. branch is BASE[:TARGET].
	target, branch, repository string
	pullRequest                *v1alpha1.PullRequestUpdate
	// at is where the branch is said, for the report.
	at   field
	from []*object
}

// imageUpdate is one image that it keeps up to date.
type imageUpdate struct {
	at           field
	subscription v1alpha1.ImageSubscription
	// helmName, helmTag and helmSpec are keys of values; kustomizeName is what a
	// kustomization calls the image.
	helmName, helmTag, helmSpec, kustomizeName string
}

// updaterStrategies are the selection strategies by the names of the Image Updater.
func updaterStrategies() map[string]v1alpha1.ImageSelectionStrategy {
	return map[string]v1alpha1.ImageSelectionStrategy{
		"": v1alpha1.SelectSemVer, "semver": v1alpha1.SelectSemVer, "newest-build": v1alpha1.SelectNewestBuild, "latest": v1alpha1.SelectNewestBuild,
		"digest": v1alpha1.SelectDigest, "alphabetical": v1alpha1.SelectLexical, "name": v1alpha1.SelectLexical,
	}
}

// settings are how tags are chosen: of one image, and behind it of all.
type settings []setting

// setting is a place where they are said: annotations, with the alias of an image
// before their names, or an object.
type setting struct {
	field
	alias string
}

// text returns the first that is said, and where.
func (s settings) text(name string) (string, field) {
	for _, one := range s {
		if x := one.find(name); x.has() {
			x.mapped()
			return x.peek(), x
		}
	}
	return "", field{}
}

// find takes the name of an annotation (allow-tags), which as a field is allowTags.
func (s setting) find(name string) field {
	if strings.HasSuffix(s.path, "annotations") {
		return s.at(updaterPrefix + s.alias + name)
	}
	words := strings.Split(name, "-")
	for n := 1; n < len(words); n++ {
		words[n] = strings.ToUpper(words[n][:1]) + words[n][1:]
	}
	return s.at(strings.Join(words, ""))
}

// read takes in one image, NAME[:CONSTRAINT].
func (u *imageUpdates) read(at field, image string, s settings) {
	name, constraint := strings.TrimSpace(image), ""
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, constraint = name[:colon], name[colon+1:]
	}
	if name == "" || strings.ContainsAny(name, "@ \t") {
		at.drop("%q is no name of an image", name)
		return
	}
	one := imageUpdate{at: at, subscription: v1alpha1.ImageSubscription{RepoURL: name, Constraint: constraint}}
	sub := &one.subscription
	strategy, where := s.text("update-strategy")
	known, isKnown := updaterStrategies()[strategy]
	if !isKnown {
		where.drop("there is no such strategy: SemVer is taken")
		known = v1alpha1.SelectSemVer
	}
	sub.ImageSelectionStrategy = known
	switch {
	case known == v1alpha1.SelectSemVer:
		loose := false
		sub.StrictSemvers = &loose
	case known == v1alpha1.SelectDigest && constraint == "":
		sub.Constraint = "latest"
		at.approximate("it names no tag to follow: latest is taken")
	case known != v1alpha1.SelectDigest:
		sub.Constraint = ""
	}
	if allow, where := s.text("allow-tags"); allow != "" && allow != "any" {
		pattern, isRegex := strings.CutPrefix(allow, "regexp:")
		if _, err := regexp.Compile(pattern); err != nil || !isRegex {
			where.drop("it is no regexp: of RE2")
		} else {
			sub.AllowTagsRegexes = []string{pattern}
		}
	}
	sub.IgnoreTagsRegexes = ignoredTags(s)
	if platforms, where := s.text("platforms"); platforms != "" {
		first, _, several := strings.Cut(platforms, ",")
		sub.Platform = strings.TrimSpace(first)
		if several {
			where.approximate("an image has to have one platform: %q is taken", sub.Platform)
		}
	}
	if _, where := s.text("pull-secret"); where.there() {
		where.drop("make a Secret labelled waybill.dev/cred-type: image in the Project")
	}
	if _, where := s.text("force-update"); where.there() {
		where.approximate("what a promotion brings is written whether it is deployed or not")
	}
	u.images = append(u.images, one)
}

// ignoredTags reads tags to ignore: patterns of * and ?, in a text or a list.
func ignoredTags(s settings) []string {
	var globs []string
	if text, _ := s.text("ignore-tags"); text != "" {
		globs = strings.Split(text, ",")
	} else {
		for _, one := range s {
			if globs = one.find("ignore-tags").texts(); len(globs) > 0 {
				break
			}
		}
	}
	var out []string
	for _, g := range globs {
		if g = strings.TrimSpace(g); g != "" {
			out = append(out, "^"+globRegex(g)+"$")
		}
	}
	return out
}

// readUpdaterAnnotations reads what an Application's annotations ask for; nil when
// they ask for nothing.
func readUpdaterAnnotations(o *object) *imageUpdates {
	annotations := o.at("metadata", "annotations")
	list := annotations.at(updaterPrefix + "image-list")
	if !list.has() {
		return nil
	}
	list.mapped()
	u := &imageUpdates{from: []*object{o}}
	for _, entry := range strings.Split(list.peek(), ",") {
		alias, image, hasAlias := strings.Cut(strings.TrimSpace(entry), "=")
		if !hasAlias {
			alias, image = "", entry
		}
		own := func(name string) string { return annotations.at(updaterPrefix + alias + "." + name).text() }
		s := settings{{annotations, ""}}
		if alias != "" {
			s = settings{{annotations, alias + "."}, {annotations, ""}}
		}
		before := len(u.images)
		u.read(list, image, s)
		if alias != "" && len(u.images) > before {
			one := &u.images[before]
			one.helmName, one.helmTag, one.helmSpec, one.kustomizeName = own("helm.image-name"), own("helm.image-tag"), own("helm.image-spec"), own("kustomize.image-name")
		}
	}
	at := func(name string) field { return annotations.at(updaterPrefix + name) }
	if method := at("write-back-method").text(); method != "" && !strings.HasPrefix(method, "git") {
		at("write-back-method").approximate("a promotion writes into Git, never into an Application")
	}
	u.target, u.branch, u.repository = at("write-back-target").text(), at("git-branch").text(), at("git-repository").text()
	u.at = at("git-branch")
	return u
}

// readUpdater reads an ImageUpdater, for the Applications it is about.
func (i *importing) readUpdater(o *object) {
	o.done = true
	readMeta(o, nil)
	spec := o.at("spec")
	spec.at("namespace").mapped()
	spec.at("imagesVerification").drop("say who signs in signature of the image subscription")
	common := spec.at("commonUpdateSettings")
	defer knownSettings(common)
	defer spec.at("writeBackConfig").known("method", "gitConfig")
	for _, ref := range spec.at("applicationRefs").items() {
		pattern, err := regexp.Compile("^" + globRegex(ref.at("namePattern").text()) + "$")
		selects, ok := readSelector(ref.at("labelSelectors"))
		if err != nil || !ok {
			ref.drop("the Applications it is for cannot be read")
			continue
		}
		ref.at("useAnnotations").mapped()
		defer knownSettings(ref.at("commonUpdateSettings"))
		found := false
		for _, a := range i.apps {
			if !pattern.MatchString(a.name) || !selects(a.first().Labels) {
				continue
			}
			found = true
			if ref.at("useAnnotations").value == true {
				continue
			}
			u := &imageUpdates{from: []*object{a.of, o}}
			for _, image := range ref.at("images").items() {
				u.readImage(image, settings{{image.at("commonUpdateSettings"), ""}, {ref.at("commonUpdateSettings"), ""}, {common, ""}})
			}
			u.readWriteBack(ref.at("writeBackConfig"), spec.at("writeBackConfig"))
			a.updates = u
		}
		if !found {
			ref.approximate("no Application that is imported is meant")
		}
	}
}

// knownSettings marks what is overruled by what one image says.
func knownSettings(f field) {
	f.known("updateStrategy", "forceUpdate", "allowTags", "ignoreTags", "pullSecret", "platforms")
}

func (u *imageUpdates) readImage(f field, s settings) {
	f.at("alias").mapped()
	defer knownSettings(f.at("commonUpdateSettings"))
	before := len(u.images)
	u.read(f.at("imageName"), f.at("imageName").text(), s)
	targets := f.at("manifestTargets")
	targets.at("plugin").drop("Waybill runs no programs to render")
	if len(u.images) > before {
		one := &u.images[before]
		one.helmName, one.helmTag, one.helmSpec = targets.at("helm", "name").text(), targets.at("helm", "tag").text(), targets.at("helm", "spec").text()
		one.kustomizeName = targets.at("kustomize", "name").text()
	}
}

func (u *imageUpdates) readWriteBack(own, common field) {
	f := own
	if !own.has() {
		f = common
	}
	if method := f.at("method").text(); method != "" && !strings.HasPrefix(method, "git") {
		f.at("method").approximate("a promotion writes into Git, never into an Application")
	}
	git := f.at("gitConfig")
	u.target, u.branch, u.repository, u.at = git.at("writeBackTarget").text(), git.at("branch").text(), git.at("repository").text(), git.at("branch")
	if pr := git.at("pullRequest"); pr.there() {
		u.pullRequest = &v1alpha1.PullRequestUpdate{}
		pr.into(u.pullRequest, nil, lost("a pull request has no such setting here"))
		pr.approximate("the branch it is merged into has to be there")
	}
}

// first is the first of the parts, or an empty one.
func (a *Application) first() *v1alpha1.Application {
	if len(a.Parts) == 0 {
		return &v1alpha1.Application{}
	}
	return &a.Parts[0]
}

// writeUpdates writes a Warehouse of the images of an Application, and a Stage that
// brings them there in its place. It reports whether the Stage took its place.
func (i *importing) writeUpdates(a *Application, p *project) bool {
	if a.updates == nil || len(a.updates.images) == 0 || len(a.Parts) == 0 {
		return false
	}
	u, name := a.updates, nameOf(a.Parts[0].Name)
	warehouse := v1alpha1.Warehouse{Spec: v1alpha1.WarehouseSpec{Interval: defaultInterval()}}
	warehouse.Name, warehouse.Namespace = name, p.name
	seen := map[string]bool{}
	for n := range u.images {
		if sub := &u.images[n].subscription; !seen[sub.RepoURL] {
			seen[sub.RepoURL] = true
			warehouse.Spec.Subscriptions = append(warehouse.Spec.Subscriptions, v1alpha1.Subscription{Image: sub})
		}
	}
	i.write("Warehouse", p.name, name, &warehouse, u.from...)
	update, ok := u.mechanism(a, name)
	if !ok {
		return false
	}
	entry := deployment(&a.Parts[0])
	entry.Source.TargetRevision = update.WriteBranch
	stage := v1alpha1.Stage{Spec: v1alpha1.StageSpec{
		RequestedFreight:    []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: name}, Sources: v1alpha1.FreightSources{Direct: true}}},
		AutoPromotion:       v1alpha1.AutoPromotion{Enabled: true},
		PromotionMechanisms: &v1alpha1.PromotionMechanisms{GitRepoUpdates: []v1alpha1.GitRepoUpdate{*update}},
		Deploy:              []v1alpha1.Deployment{entry},
	}}
	stage.Name, stage.Namespace, stage.Labels, stage.Annotations = name, p.name, a.Parts[0].Labels, a.Parts[0].Annotations
	i.write("Stage", p.name, name, &stage, u.from...)
	return true
}

// mechanism is what a promotion writes in the place of the Image Updater; not when
// the Application cannot be a deploy entry, or the place cannot be said.
func (u *imageUpdates) mechanism(a *Application, name string) (*v1alpha1.GitRepoUpdate, bool) {
	part := &a.Parts[0]
	s := part.Spec.Source
	not := func(why string) (*v1alpha1.GitRepoUpdate, bool) {
		a.of.add(Approximated, "", "a Warehouse watches its images, and nobody writes them: "+why+"; write a Stage with promotionMechanisms", false)
		return nil, false
	}
	if len(a.Parts) != 1 || part.Spec.Suspend || s.Chart != "" {
		return not("a Stage deploys one folder of a Git repository")
	}
	if u.repository != "" && u.repository != s.RepoURL {
		return not("it is written to another repository than it is deployed from")
	}
	base, target, _ := strings.Cut(u.branch, ":")
	if base == "" {
		base = s.TargetRevision
	}
	if target == "" || target == base || strings.Contains(target, "{{") {
		target = "stage/" + name
	}
	u.at.approximate("a Stage writes to a branch of its own")
	a.of.add(Approximated, "", "a Stage in its place writes new images to its branch "+target+" and deploys from there; nothing is synced before the first promotion", false)
	update := &v1alpha1.GitRepoUpdate{RepoURL: s.RepoURL, ReadBranch: base, WriteBranch: target, PullRequest: u.pullRequest}
	isHelm := s.Helm != nil || strings.HasPrefix(u.target, "helmvalues")
	for n := range u.images {
		one := &u.images[n]
		isHelm = isHelm || one.helmName+one.helmTag+one.helmSpec != ""
	}
	for n := range u.images {
		one := &u.images[n]
		if !isHelm {
			if one.kustomizeName != "" && one.kustomizeName != one.subscription.RepoURL {
				return not("its kustomization calls the image " + one.kustomizeName)
			}
			update.Kustomize.Images = append(update.Kustomize.Images, v1alpha1.KustomizeImage{Image: one.subscription.RepoURL, Path: folder(s.Path, strings.TrimPrefix(u.target, "kustomization"))})
			continue
		}
		image := v1alpha1.HelmImage{Image: one.subscription.RepoURL, ValuesFilePath: u.valuesFile(s), Key: one.helmTag, Value: v1alpha1.HelmTag}
		switch {
		case one.helmSpec != "":
			image.Key, image.Value = one.helmSpec, v1alpha1.HelmImageAndTag
		case one.helmTag == "":
			image.Key = "image.tag"
		}
		if one.subscription.ImageSelectionStrategy == v1alpha1.SelectDigest && image.Value == v1alpha1.HelmImageAndTag {
			image.Value = v1alpha1.HelmImageAndDigest
		}
		update.Helm.Images = append(update.Helm.Images, image)
	}
	return update, true
}

// folder resolves a target's path against that of the source.
func folder(source, target string) string {
	target = strings.TrimPrefix(target, ":")
	out := path.Join(source, target)
	if strings.HasPrefix(target, "/") {
		out = path.Clean(strings.TrimLeft(target, "/"))
	}
	if out == "" || strings.HasPrefix(out, "..") {
		return "."
	}
	return out
}

// valuesFile is where values are written: what the target names, else the first
// values file, else the chart's own.
func (u *imageUpdates) valuesFile(s v1alpha1.ApplicationSource) string {
	if file, found := strings.CutPrefix(u.target, "helmvalues:"); found {
		return folder(s.Path, file)
	}
	if s.Helm != nil && len(s.Helm.ValueFiles) > 0 {
		return folder(s.Path, s.Helm.ValueFiles[len(s.Helm.ValueFiles)-1])
	}
	return folder(s.Path, "values.yaml")
}
