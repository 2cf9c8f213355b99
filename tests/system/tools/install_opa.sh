#!/bin/sh
# Build the OPA that `make test-system` compares with, from the versions and hashes in opa/go.mod and
# opa/go.sum. Does nothing when it is there already. Needs Go; takes some minutes the first time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"
wanted=$(sed -n 's/^.*open-policy-agent\/opa v\([0-9.]*\).*$/\1/p' "$here/opa/go.mod" | head -n 1)

if [ -x "$folder/opa" ] && "$folder/opa" version | grep -qx "Version: $wanted"; then
	exit 0
fi
if ! command -v go >/dev/null; then
	echo "Go is needed to build OPA $wanted for the system tests: install Go and run this again." >&2
	exit 1
fi
echo "Building OPA $wanted into $folder (some minutes the first time) …"
mkdir -p "$folder"
cd "$here/opa"
# Renamed when it is whole: an interrupted build leaves no half program behind.
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$folder/opa.new" \
	github.com/open-policy-agent/opa
mv "$folder/opa.new" "$folder/opa"
"$folder/opa" version | grep -qx "Version: $wanted"
