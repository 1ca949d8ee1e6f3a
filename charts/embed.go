// Package charts carries the manifests of the Helm chart for waybilld, which
// applies the same files: CRDs, admission policies and roles have one source.
package charts

import "embed"

// Waybill holds waybill/crds, waybill/files/policies and waybill/files/rbac.
//
//go:embed waybill/crds/*.yaml waybill/files/policies/*.yaml waybill/files/rbac/*.yaml
var Waybill embed.FS
