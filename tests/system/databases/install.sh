#!/bin/bash
# Build the programs that write the small vulnerability databases of the system tests, one for trivy
# and one for grype. Does nothing where they are there already. Needs Go; after
# `tests/system/tools/install.sh grype` it takes seconds, otherwise some minutes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../go.sh"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"

install() {
	local program="$1-database" key
	cd "$here/$1"
	key=$(cat go.mod go.sum main.go | sha256sum)
	if [ -x "$folder/$program" ] && [ "$(cat "$folder/.$program.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	if ! command -v go >/dev/null; then
		echo "Go is needed to build $program for the system tests: install Go and run this again." >&2
		exit 1
	fi
	# The same flags as the tools', or all that they share would be compiled again.
	export CGO_ENABLED=0 GOEXPERIMENT=
	go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$folder/.$program.new" .
	rm -f "$folder/.$program.key"
	mv "$folder/.$program.new" "$folder/$program"
	echo "$key" >"$folder/.$program.key"
}

mkdir -p "$folder"
(install trivy)
(install grype)
