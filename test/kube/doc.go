// Command waybill-kube is a real Kubernetes in one binary: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kubectl, and kwok, which plays the Nodes and Pods.
//
// The program is chosen by the name the binary is called by, or by its first argument:
//
//	ln -s waybill-kube kubectl && ./kubectl version
//	./waybill-kube kubectl version
//
// `waybill local` starts it (package internal/localkube), and controller tests use it through test/env, or as
// KUBEBUILDER_ASSETS, for which build.sh makes a directory of symlinks. It is a module of its own because
// k8s.io/kubernetes needs every k8s.io module replaced by the version it was released with; Waybill itself is
// built with newer ones.
package main
