// Package env gives tests a real Kubernetes API server of their own: etcd and kube-apiserver of waybill-kube with
// RBAC and the default admission plugins, and on request controllers, scheduler and kwok Nodes.
//
//	func TestThing(t *testing.T) {
//		e := env.Start(t, env.Options{})
//		e.InstallCRDs(t, "../charts/waybill/crds")
//		namespace := e.Namespace(t)
//		e.Apply(t, `...`)
//		client := kubernetes.NewForConfigOrDie(e.Config)
//
// A start takes one to three seconds, so a package with many tests shares one:
//
//	func TestMain(m *testing.M) {
//		e, err := env.New(env.Options{})
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//		shared = e
//		code := m.Run()
//		e.Stop()
//		os.Exit(code)
//	}
//
// Several may run at a time, in one process or in many. A test process that is killed takes its servers with it.
package env
