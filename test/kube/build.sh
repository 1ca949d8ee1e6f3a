#!/bin/sh
# Builds waybill-kube, and a directory of symlinks to it that works as KUBEBUILDER_ASSETS.
#
#   build.sh [DIR]     DIR/waybill-kube and DIR/kube/{etcd,kube-apiserver,...}; DIR is bin/ of the repository when left out
#
# Go's build cache makes a second run a matter of seconds; the first compiles Kubernetes, about 5 minutes on 2 cores.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../bin}
mkdir -p "$out/kube"
out=$(cd "$out" && pwd)

cd "$here"
# kubectl refuses a server without a version, and the version is the one go.mod names.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
pkg=k8s.io/component-base/version
# Without the commit in it, the binary changes only when its source does.
CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -o "$out/waybill-kube" -ldflags "-s -w \
	-X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=${minor%%.*} -X $pkg.gitTreeState=clean" .

for name in etcd kube-apiserver kube-controller-manager kube-scheduler kwok kubectl; do
	ln -sfn ../waybill-kube "$out/kube/$name"
done
