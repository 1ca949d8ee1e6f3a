// Package v1alpha1 holds the objects of the API group waybill.dev.
//
// One file per kind. Defaults and validation are markers in these files: they
// become the OpenAPI schema and CEL rules of the CustomResourceDefinitions, so
// that kubectl, the CLI and the dashboard meet the same rules. The package
// imports apimachinery only.
//
// Where each fact lives, and who writes it: every status is written by
// controllers alone; what a person decides is an object of its own (Promotion,
// Freeze) whose author is proven by admission.
//
// +kubebuilder:object:generate=true
// +groupName=waybill.dev
package v1alpha1
