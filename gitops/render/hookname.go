package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// maxHookName is the longest name that every kind takes, Jobs too.
const maxHookName = 63

// nameHook gives a hook that has only a generateName a name: that, and seven digits of what it holds. Argo CD makes
// another name at every sync; here a sync deletes what the last run left before it makes a hook's object, so the name
// need not change while its content does not. Of what is no hook, a new object at every sync is never meant.
func nameHook(object *unstructured.Unstructured) {
	prefix := object.GetGenerateName()
	if prefix == "" || object.GetName() != "" {
		return
	}
	annotations := object.GetAnnotations()
	if annotations[v1alpha1.Group+"/hook"] == "" && annotations["argocd.argoproj.io/hook"] == "" && annotations["helm.sh/hook"] == "" {
		return
	}
	text, err := json.Marshal(object.Object)
	if err != nil {
		return // and is refused without a name
	}
	const digits = 7
	if len(prefix) > maxHookName-digits {
		prefix = prefix[:maxHookName-digits]
	}
	sum := sha256.Sum256(text)
	object.SetName(prefix + hex.EncodeToString(sum[:])[:digits])
	object.SetGenerateName("")
}
