# What the scripts of this folder share. To be sourced.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
programs="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/engine"
run="$cache/run" # pids, sockets, logs and generated configuration of what runs now
version=$(sed -n 's#^\tdagger\.io/dagger \(v[0-9.]*\)$#\1#p' "$here/source/go.mod")

# Progress goes to the error stream: the output is for the caller's shell.
say() { echo "$*" >&2; }
fail() {
	echo "$*" >&2
	exit 1
}

# wait_for SECONDS COMMAND…: until the command succeeds, or no longer than that.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.2
	done
}

# running FILE PROGRAM: whether the process whose pid the file holds is alive and runs that program.
# The program is compared because pids are used again.
running() {
	local pid
	pid=$(cat "$1" 2>/dev/null) && [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$2" ]
}

# stop FILE PROGRAM SECONDS: ask it to end, insist after that time.
stop() {
	running "$1" "$2" || return 0
	local pid
	pid=$(cat "$1")
	kill "$pid" 2>/dev/null || true
	if ! wait_for "$3" not running "$1" "$2"; then
		say "Process $pid ($2) does not end by itself: killing it."
		kill -9 "$pid" 2>/dev/null || true
		wait_for 10 not running "$1" "$2" || fail "Process $pid ($2) cannot be killed."
	fi
}

not() { ! "$@"; }

# What an engine leaves behind in the machine's network, which it shares: its bridge and a pair of chains
# for every container network that it held ready.
sweep_network() {
	if ip link show mlifecycle0 >/dev/null 2>&1; then
		ip link delete mlifecycle0
	fi
	{
		echo '*nat'
		iptables-save -t nat | sed -n '/^-A POSTROUTING .*\\"mlifecycle\\"/{s/^-A/-D/p; s/.* -j \(CNI-[0-9a-f]*\)$/-F \1\n-X \1/p}'
		printf 'COMMIT\n*filter\n'
		iptables-save -t filter | sed -n '/^-A CNI-FORWARD .*10\.187\./s/^-A/-D/p'
		echo COMMIT
	} | iptables-restore --noflush || say "Rules of an earlier engine stay in iptables."
}
