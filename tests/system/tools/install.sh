#!/bin/bash
# Build the named tools for the system tests, each from the versions and hashes in TOOL/go.mod and
# TOOL/go.sum:
#   tests/system/tools/install.sh trivy grype
# Does nothing for a tool that is there already. Needs Go; trivy takes about ten minutes the first time.
# A slow or busy machine is spared with `GOFLAGS=-p=1 nice tests/system/tools/install.sh …`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../go.sh"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"

# The variable that holds a tool's version: without it, `--version` would say nothing of use.
version_variable() {
	case $1 in
	cosign) echo sigs.k8s.io/release-utils/version.gitVersion ;;
	crane) echo github.com/google/go-containerregistry/cmd/crane/cmd.Version ;;
	dockle) echo github.com/goodwithtech/dockle/pkg.version ;;
	gitleaks) echo github.com/zricethezav/gitleaks/v8/version.Version ;;
	kustomize) echo sigs.k8s.io/kustomize/api/provenance.version ;;
	trivy) echo github.com/aquasecurity/trivy/pkg/version/app.ver ;;
	*) echo main.version ;;
	esac
}

install() {
	local tool=$1 key package version started=$SECONDS
	local variable; variable=$(version_variable "$tool")
	local flags=(-mod=readonly -trimpath -buildvcs=false)
	key=$(cat "$here/$tool"/* <(echo "$variable" "${flags[@]}") | sha256sum)
	if [ -x "$folder/$tool" ] && [ "$(cat "$folder/.$tool.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	if ! command -v go >/dev/null; then
		echo "Go is needed to build $tool for the system tests: install Go and run this again." >&2
		exit 1
	fi
	cd "$here/$tool"
	export CGO_ENABLED=0 GOEXPERIMENT=
	# Trivy reads JSON with the experimental package of this name.
	[ "$tool" != trivy ] || GOEXPERIMENT=jsonv2
	package=$(go mod edit -json | sed -n '/"Tool"/,/]/s/.*"Path": "\(.*\)".*/\1/p')
	version=$(go list -mod=readonly -f '{{.Module.Version}}' "$package")
	echo "Building $tool ${version#v} into $folder …" >&2
	# Renamed when it is whole: an interrupted build leaves no half program behind.
	go build "${flags[@]}" -ldflags "-s -w -X $variable=${version#v}" -o "$folder/.$tool.new" "$package"
	rm -f "$folder/.$tool.key"
	mv "$folder/.$tool.new" "$folder/$tool"
	echo "$key" >"$folder/.$tool.key"
	echo "Built $tool in $((SECONDS - started)) s." >&2
}

if [ $# = 0 ]; then
	echo "usage: $0 TOOL…   (one of: $(cd "$here" && printf '%s ' */ | tr -d /))" >&2
	exit 2
fi
mkdir -p "$folder"
for tool in "$@"; do
	if [ ! -f "$here/$tool/go.mod" ]; then
		echo "There is no $here/$tool/go.mod: no such tool." >&2
		exit 2
	fi
	(install "$tool")
done
