# What the scripts of this folder share. To be sourced.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../engine/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../engine/registry.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/cluster"
home="$cache/state"    # what the cluster holds, with its logs and its kubeconfig: made anew at every start
run=/run/mlc-kube      # containerd's socket and state: paths must be short
bridge=mlc-kube0
pods=10.186.0.0/24
services=10.185.0.0/24
version=$(sed -n 's#^\tk8s\.io/kubernetes \(v[0-9.]*\).*#\1#p' "$here/source/go.mod")

kubectl() { "$cache/bin/kubectl" --kubeconfig "$home/kubeconfig" "$@"; }
