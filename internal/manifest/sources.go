package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/hook"
	"github.com/waybill-dev/waybill/internal/repourl"
	"github.com/waybill-dev/waybill/warehouse"
)

// lintAlone finds what is wrong with one document whatever else there is: what
// its controller would refuse, by the controller's own rules.
func lintAlone(d *Document) []Finding {
	switch obj := d.Object.(type) {
	case *v1alpha1.Warehouse:
		return lintWarehouse(d, obj)
	case *v1alpha1.Project:
		return lintProject(d, obj)
	case *v1alpha1.Stage:
		return lintAddresses(d, obj)
	case *v1alpha1.Application:
		if obj.Spec.Source.Chart != "" {
			return lintChart(d, obj.Spec.Source)
		}
		return lintAddress(d, "spec.source.repoURL", obj.Spec.Source.RepoURL)
	case nil:
		if d.Kind == "Secret" {
			return lintSecret(d)
		}
	}
	return nil
}

// lintWarehouse finds subscriptions that cannot be polled, and criteria that
// cannot be evaluated.
func lintWarehouse(d *Document, w *v1alpha1.Warehouse) []Finding {
	var out []Finding
	seen := map[string]int{}
	for i, s := range w.Spec.Subscriptions {
		field := fmt.Sprintf("spec.subscriptions[%d]", i)
		key := hook.SubscriptionKey(s)
		var repoURL string
		var err error
		switch {
		case s.Image != nil:
			field, repoURL = field+".image", s.Image.RepoURL
			_, err = warehouse.Compile(*s.Image)
		case s.Git != nil:
			field, repoURL = field+".git", s.Git.RepoURL
			if _, err = warehouse.CompileCommits(*s.Git); err == nil {
				out = append(out, lintAddress(d, field+".repoURL", repoURL)...)
			}
		case s.Chart != nil:
			field, repoURL = field+".chart", s.Chart.RepoURL
			key += " " + s.Chart.Name
			_, err = warehouse.CompileChart(*s.Chart)
		default:
			continue // the CRD says so
		}
		switch first, twice := seen[key]; {
		case err != nil:
			out = append(out, d.Finding(Error, field, invalid(err)))
		case key == "" && s.Git == nil:
			out = append(out, d.Finding(Error, field+".repoURL", fmt.Sprintf("%q is not an address of a repository", repoURL)))
		case twice:
			out = append(out, d.Finding(Error, field, fmt.Sprintf("spec.subscriptions[%d] watches the same repository; one Freight holds one version of it", first)))
		case key != "":
			seen[key] = i
		}
	}
	if _, err := warehouse.CompileCriteria(w.Spec.FreightCreationCriteria); err != nil {
		out = append(out, d.Finding(Error, "spec.freightCreationCriteria", invalid(err)))
	}
	return out
}

// invalid is the text of an error without the word that only programs need.
func invalid(err error) string {
	return strings.TrimPrefix(err.Error(), warehouse.ErrInvalid.Error()+": ")
}

// lintProject finds webhook receivers that could not listen, whatever their
// Secret holds.
func lintProject(d *Document, p *v1alpha1.Project) []Finding {
	var out []Finding
	for i, w := range p.Spec.WebhookReceivers {
		anySecret := map[string][]byte{"secret": []byte(strings.Repeat("x", 64))}
		if _, err := hook.Compile(p.Name, w, anySecret); err != nil {
			out = append(out, d.Finding(Error, fmt.Sprintf("spec.webhookReceivers[%d]", i), err.Error()))
		}
	}
	return append(out, lintNotifications(d, p)...)
}

// lintAddresses finds addresses of Git repositories that nobody can speak to.
func lintAddresses(d *Document, s *v1alpha1.Stage) []Finding {
	var out []Finding
	if m := s.Spec.PromotionMechanisms; m != nil {
		for i, u := range m.GitRepoUpdates {
			out = append(out, lintAddress(d, fmt.Sprintf("spec.promotionMechanisms.gitRepoUpdates[%d].repoURL", i), u.RepoURL)...)
		}
	}
	for i, dep := range s.Spec.Deploy {
		if dep.Source.RepoURL != "" {
			out = append(out, lintAddress(d, fmt.Sprintf("spec.deploy[%d].source.repoURL", i), dep.Source.RepoURL)...)
		}
	}
	return out
}

// lintChart finds a chart that cannot be looked up.
func lintChart(d *Document, s v1alpha1.ApplicationSource) []Finding {
	sub := v1alpha1.ChartSubscription{RepoURL: s.RepoURL, Name: s.Chart, Constraint: s.TargetRevision}
	if strings.HasPrefix(s.RepoURL, "oci://") {
		sub.RepoURL, sub.Name = strings.TrimRight(s.RepoURL, "/")+"/"+s.Chart, ""
	}
	if _, err := warehouse.CompileChart(sub); err != nil {
		return []Finding{d.Finding(Error, "spec.source", invalid(err))}
	}
	return nil
}

func lintAddress(d *Document, field, repoURL string) []Finding {
	if _, err := repourl.ParseGit(repoURL); err != nil {
		return []Finding{d.Finding(Error, field, err.Error())}
	}
	return nil
}

// lintSecret finds credentials and webhook secrets that cannot be read. No
// finding holds a value.
func lintSecret(d *Document) []Finding {
	var s struct {
		Metadata struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Data       map[string][]byte `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	if json.Unmarshal(d.JSON, &s) != nil {
		return []Finding{d.Finding(Error, "data", "a value is not in base64; stringData takes plain text")}
	}
	typ, isOurs := s.Metadata.Labels[credentials.TypeLabel]
	if !isOurs || typ == string(credentials.Generic) || typ == credentials.Message {
		return nil
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	if typ == credentials.Webhook {
		entry := v1alpha1.WebhookReceiver{Name: "any", GitHub: &v1alpha1.WebhookReceiverConfig{SecretRef: v1alpha1.SecretReference{Name: d.Name}}}
		if _, err := hook.Compile(d.Namespace, entry, s.Data); err != nil {
			return []Finding{d.Finding(Error, "", err.Error())}
		}
		return nil
	}
	if typ == "cluster" { // the server reads it when it connects
		if len(s.Data["kubeconfig"]) == 0 {
			return []Finding{d.Finding(Error, "", "the Secret of a cluster needs a key kubeconfig")}
		}
		return nil
	}
	_, err := credentials.Parse(credentials.Source{
		Name: d.Name, Namespace: orAny(d.Namespace), Labels: s.Metadata.Labels, Annotations: s.Metadata.Annotations, Data: s.Data,
	})
	if err == nil {
		return nil
	}
	message := err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		message = cause.Error()
	}
	return []Finding{d.Finding(Error, "", message)}
}

// orAny is a Namespace for a document that will get its own when it is applied.
func orAny(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}

// delivers reports whether one of the subscriptions watches the image.
func delivers(subscriptions []v1alpha1.Subscription, image string) bool {
	key := hook.Key(hook.Image, image)
	return slices.ContainsFunc(subscriptions, func(s v1alpha1.Subscription) bool {
		return s.Image != nil && (s.Image.RepoURL == image || key != "" && hook.Key(hook.Image, s.Image.RepoURL) == key)
	})
}
