// Package shadow looks at what Argo CD and Kargo run and says what Waybill would do
// in their place: what it would apply, heal, prune, promote or refuse, and why. It
// is how people find out before they change anything.
//
// It reads the objects of both (Application, AppProject, Stage, Freight, Promotion
// and the Secrets with Argo CD's repositories), renders every Application from Git
// with Waybill's renderer, and compares with the live objects field by field. What
// Freight may enter a Stage is decided by promotion.Decide.
//
// It never writes. Nothing in it can: the connection refuses every request but GET
// before it is sent (see ReadOnly), so that no dry run is asked for either. Its
// answer is therefore what Git says against what lives; defaults that only the API
// server knows are no difference, because only fields that Git names are compared.
package shadow
