package arch

import "strings"

// module is the path of the main module.
const module = "github.com/waybill-dev/waybill"

// layer is a set of packages with one rule for what they may import.
type layer struct {
	name string
	// is says what the layer is for, in a few words.
	is string
	// packages are paths inside the module; a path that ends in /... stands for
	// everything below it. A package belongs to the longest pattern it matches.
	packages []string
	// mayImport names the layers it may import besides the standard library and
	// what external allows.
	mayImport []string
}

// layers is the dependency direction, the lowest first.
func layers() []layer {
	return []layer{
		{"types", "CRD types, defaults, CEL rules", []string{"api/v1alpha1"}, nil},
		{"wire", "types of the HTTP API, generated", []string{"api/rest/model"}, nil},
		{"files", "manifests and pages, embedded", []string{"charts", "examples", "ui"}, nil},
		{
			"leaves", "small packages anybody may use",
			[]string{"internal/..."},
			[]string{"leaves"},
		},
		{
			"roots", "pure rules: no I/O, no clock, no logger",
			[]string{"warehouse", "promotion", "gitops", "history"},
			[]string{"types", "leaves"},
		},
		{
			"readers", "what YAML, Secrets and the status of objects mean; pure as well",
			[]string{"internal/manifest", "internal/credentials", "internal/hook", "internal/importer", "gitops/health", "promotion/notify"},
			[]string{"types", "roots", "leaves", "readers"},
		},
		{
			"adapters", "one outside system each: Git, registries, clusters",
			[]string{
				"git", "git/...", "warehouse/...", "promotion/...", "gitops/...", "history/...",
				"internal/credentials/secretstore", "internal/credentials/tokens", "internal/demoregistry", "internal/identity", "internal/identity/oidc", "internal/install", "internal/instance", "internal/replicas",
			},
			[]string{"types", "files", "roots", "leaves", "readers", "adapters"},
		},
		{
			"controllers", "observe, decide, enact, patch once",
			[]string{"controllers"},
			[]string{"types", "roots", "leaves", "readers", "adapters"},
		},
		{
			"api", "HTTP: one file per resource",
			[]string{"api/rest"},
			[]string{"types", "wire", "files", "roots", "leaves", "readers", "adapters"},
		},
		{"client", "the API from Go", []string{"api/client"}, []string{"wire", "leaves"}},
		{
			"local", "Waybill on one machine",
			[]string{"internal/local"},
			[]string{"files", "leaves", "adapters"},
		},
		{
			"cli", "what cmd/waybill does",
			[]string{"internal/cli"},
			[]string{"wire", "leaves", "readers", "client", "local"},
		},
		{"command line", "flags of the CLI", []string{"cmd/waybill"}, []string{"cli"}},
		{
			"server", "flags and wiring of the server",
			[]string{"cmd/waybilld"},
			[]string{"types", "files", "roots", "leaves", "readers", "adapters", "controllers", "api"},
		},
		{
			"tests", "what only tests import",
			[]string{"test/...", "git/gittest", "warehouse/registrytest", "warehouse/chart/charttest", "warehouse/signature/signaturetest", "history/historytest", "internal/identity/oidc/oidctest"},
			[]string{
				"types", "wire", "files", "roots", "leaves", "readers", "adapters", "controllers", "api",
				"client", "local", "cli", "server", "tests",
			},
		},
	}
}

// dependency limits who may import an external module, or a package of the
// standard library, by path prefix.
type dependency struct {
	prefix string
	// allowed are patterns of packages as in layer.
	allowed []string
	why     string
}

// dependencies are what few packages may import.
func dependencies() []dependency {
	return []dependency{
		{"github.com/labstack/echo", []string{"api/rest"}, "only api/rest knows the web framework"},
		{"github.com/go-git/go-git", []string{"git/..."}, "other packages ask package git"},
		{
			"github.com/google/go-containerregistry", []string{"warehouse/registry", "internal/demoregistry"},
			"other packages ask warehouse/registry",
		},
		{"github.com/coreos/go-oidc", []string{"internal/identity/oidc/..."}, "other packages ask internal/identity/oidc"},
		{"filippo.io/age", []string{"internal/sops"}, "other packages ask internal/sops"},
		{"github.com/sigstore", []string{"warehouse/signature"}, "other packages ask warehouse/signature"},
		{"sigs.k8s.io/kustomize", []string{"gitops/render"}, "only the renderer runs kustomize"},
		{"helm.sh/helm", []string{"gitops/render/...", "test/..."}, "only the renderer runs Helm"},
		{"github.com/expr-lang/expr", []string{"internal/expression", "internal/hook"}, "other packages ask internal/expression, which bounds what an expression may do"},
		{"github.com/spf13/cobra", []string{"internal/cli", "cmd/..."}, "only programs have flags"},
		{
			"sigs.k8s.io/controller-runtime",
			[]string{"controllers", "api/rest", "cmd/waybilld", "promotion/observe", "promotion/objects", "internal/install", "internal/credentials/secretstore", "test/..."},
			"rules are plain functions; who needs a client has one of the few adapters",
		},
		{"github.com/jackc/pgx", []string{"history/postgres"}, "only the history has a database"},
		{"modernc.org/sqlite", []string{"history/sqlite"}, "only the history has a database"},
		{"github.com/pressly/goose", []string{"history/sqlite", "history/postgres"}, "each store brings its own tables up to date"},
		{"os/exec", []string{"gitops/render/helm", "internal/local", "internal/localkube", "git/gitserver", "git/gittest", "history/historytest", "internal/browser", "internal/editor", "test/..."}, "the server starts no programs but itself, to render charts"},
		{"testing", []string{"test/...", "git/gittest", "warehouse/registrytest", "warehouse/chart/charttest", "warehouse/signature/signaturetest", "history/historytest", "internal/identity/oidc/oidctest"}, "tests are in _test files"},
	}
}

// impure are the imports that a pure root does not have.
func impure() []string {
	return []string{
		"os", "io/fs", "net", "log", "syscall", "math/rand", "crypto/rand", "context",
		"k8s.io/client-go", "k8s.io/utils/clock", "sigs.k8s.io/controller-runtime",
	}
}

// isExcused reports whether a pure root may import one of impure all the same:
// the interface of a store names the context that its implementations need.
func isExcused(path, dependency string) bool { return path == "history" && dependency == "context" }

// heavy are what the command line client is not made of, not even indirectly.
func heavy() []string {
	return []string{
		"helm.sh/helm", "github.com/getsops/sops", "sigs.k8s.io/controller-runtime", "k8s.io/client-go",
		"k8s.io/apiextensions-apiserver", "github.com/jackc/pgx", "modernc.org/sqlite", "github.com/labstack/echo",
		"github.com/getkin/kin-openapi", "github.com/sigstore",
		module + "/controllers", module + "/api/rest$", module + "/gitops$", module + "/gitops/apply",
		module + "/gitops/cluster", module + "/gitops/render", module + "/gitops/watch",
	}
}

// matches reports whether pattern stands for the package path.
func matches(pattern, path string) bool {
	if dir, found := strings.CutSuffix(pattern, "/..."); found {
		return path == dir || strings.HasPrefix(path, dir+"/")
	}
	return path == pattern
}

// matchesAny reports whether one of the patterns stands for the package path.
func matchesAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}

// hasPrefix reports whether the import path is prefix or below it; a prefix
// that ends in $ is that package alone.
func hasPrefix(path, prefix string) bool {
	if exact, found := strings.CutSuffix(prefix, "$"); found {
		return path == exact
	}
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// layerOf returns the layer a package belongs to, by the longest pattern; nil
// for none.
func layerOf(all []layer, path string) *layer {
	var found *layer
	longest := -1
	for i := range all {
		for _, p := range all[i].packages {
			// A folder by its own name is closer than the same folder with all below it.
			length := 2*len(strings.TrimSuffix(p, "/...")) + 1
			if strings.HasSuffix(p, "/...") {
				length--
			}
			if matches(p, path) && length > longest {
				found, longest = &all[i], length
			}
		}
	}
	return found
}
