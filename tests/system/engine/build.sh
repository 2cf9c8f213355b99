#!/bin/bash
# Build Dagger's engine and command line from the versions and hashes in source/go.mod and source/go.sum.
# Does nothing when they are there already. Needs Go; takes about twelve minutes the first time.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$here/../go.sh"

commands=(engine dagger init dnsname)
flags=(-mod=readonly -trimpath -buildvcs=false -tags dfexcludepatterns,dfparents)
stamp="-s -w -X github.com/dagger/dagger/engine.Version=$version -X github.com/dagger/dagger/engine.Tag=$version"
key=$(cd "$here/source" && {
	find . -type f -print0 | sort -z | xargs -0 sha256sum
	echo "${commands[@]}" "${flags[@]}" "$stamp"
} | sha256sum)
if [ "$(cat "$cache/bin/.key" 2>/dev/null)" = "$key" ]; then
	exit 0
fi
command -v go >/dev/null || fail "Go is needed to build Dagger's engine for the system tests: install Go and run this again."

say "Building Dagger's engine and command line $version (about twelve minutes the first time) …"
mkdir -p "$cache/bin"
# Renamed when all are whole: an interrupted build leaves no half program behind.
rm -rf "$cache/bin.new"
mkdir "$cache/bin.new"
cd "$here/source"
CGO_ENABLED=0 go build "${flags[@]}" -ldflags "$stamp" -o "$cache/bin.new/" \
	"${commands[@]/#/github.com/dagger/dagger/cmd/}"
cd "$cache/bin.new"
mv engine dagger-engine
mv init dagger-init
echo "$key" >.key
rm -rf "$cache/bin"
mv "$cache/bin.new" "$cache/bin"
