#!/bin/bash
# Put programs of Debian packages beside the built tools, for the system tests:
#   tests/system/tools/debian.sh prometheus
# The package is unpacked and not installed: nothing of the machine changes, and no service starts.
set -euo pipefail

folder="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"

programs() {
	case $1 in
	prometheus) echo prometheus promtool ;;
	*)
		echo "There is no package $1 here. Known: prometheus." >&2
		exit 2
		;;
	esac
}

unpack() {
	local package=$1 program missing=
	for program in $(programs "$package"); do
		[ -x "$folder/$program" ] || missing=1
	done
	[ -n "$missing" ] || return 0
	room=$(mktemp -d)
	trap 'rm -rf "$room"' EXIT
	chmod 777 "$room" # apt fetches as a user of its own
	cd "$room"
	apt-get -qq download "$package" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$package"; } || {
		echo "The Debian package $package cannot be had: it needs Debian 12 and its package archive." >&2
		exit 1
	}
	dpkg -x "$package"_*.deb .
	for program in $(programs "$package"); do
		install -m 755 "usr/bin/$program" "$folder/.$program.new"
		mv "$folder/.$program.new" "$folder/$program"
	done
	echo "Unpacked $(dpkg-deb -f "$package"_*.deb Package Version | tr '\n' ' ')into $folder." >&2
}

if [ $# = 0 ]; then
	echo "usage: $0 PACKAGE…" >&2
	exit 2
fi
mkdir -p "$folder"
for package in "$@"; do
	programs "$package" >/dev/null
	(unpack "$package")
done
