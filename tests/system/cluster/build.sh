#!/bin/bash
# Build the parts of a cluster from the versions and hashes in source/go.mod and source/go.sum.
# Does nothing when they are there already. Needs Go; takes about eight minutes the first time.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$here/../go.sh"

commands=(kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet)
flags=(-mod=readonly -trimpath -buildvcs=false)
component=k8s.io/component-base/version
# A client or a server without a version is taken for a very old one.
stamp="-s -w -X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=$(cut -d . -f 2 <<<"$version")"
stamp+=" -X $component.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=$version"
key=$(cat "$here"/source/{go.mod,go.sum,pause.go} <(echo "${commands[@]}" "${flags[@]}" "$stamp") | sha256sum)
if [ "$(cat "$cache/bin/.key" 2>/dev/null)" = "$key" ]; then
	exit 0
fi
command -v go >/dev/null || fail "Go is needed to build a cluster for the system tests: install Go and run this again."

say "Building Kubernetes $version (about eight minutes the first time) …"
mkdir -p "$cache"
# Renamed when all are whole: an interrupted build leaves no half program behind.
rm -rf "$cache/bin.new"
mkdir "$cache/bin.new"
cd "$here/source"
export CGO_ENABLED=0
go build "${flags[@]}" -ldflags "$stamp" -o "$cache/bin.new/" "${commands[@]/#/k8s.io/kubernetes/cmd/}"
go build "${flags[@]}" -ldflags '-s -w' -o "$cache/bin.new/pause" ./pause.go
echo "$key" >"$cache/bin.new/.key"
rm -rf "$cache/bin"
mv "$cache/bin.new" "$cache/bin"
