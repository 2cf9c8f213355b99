# What the scripts of this folder share. To be sourced.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
programs="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/bin"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/engine"
run="$cache/run" # apt's log; the registry's pid, log and generated configuration
version=$(sed -n 's#^\tdagger\.io/dagger \(v[0-9.]*\)$#\1#p' "$here/source/go.mod")

# Progress goes to the error stream: the output is for the caller's shell.
say() { echo "$*" >&2; }
fail() {
	echo "$*" >&2
	exit 1
}

# install_packages LOG PACKAGE…: Debian's, where one of them is missing.
install_packages() {
	local log=$1
	shift
	dpkg --status "$@" >/dev/null 2>&1 && return
	say "Installing Debian packages …"
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -q
		# Nothing that is installed is upgraded, and no service is started.
		RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-upgrade --no-install-recommends "$@"
	} </dev/null >"$log" 2>&1 || fail "apt-get fails: see $log"
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

# choose_engine NAME: engines of different names run side by side and share nothing but registry and images.
choose_engine() {
	[[ $1 =~ ^[a-z0-9]{1,8}$ ]] || fail "An engine's name is up to eight small letters and digits, not '$1'."
	home="$cache/engines/$1" # its state, pid, socket, log and generated configuration
	network="mlc-$1"         # with a 0 behind it the bridge's name
	subnet=10.187
	if [ "$1" != main ]; then
		subnet=10.$((188 + $(cksum <<<"$1" | cut -d ' ' -f 1) % 60))
	fi
}

# Cached results survive only an engine that ended by itself: it gets time.
stop_engine() {
	stop "$home/engine.pid" "$cache/bin/dagger-engine" 180
}

# What an engine leaves behind in the machine's network, which it shares: its bridge, and rules for every
# container's network that it held ready.
sweep_network() {
	if ip link show "${network}0" >/dev/null 2>&1; then
		ip link delete "${network}0"
	fi
	sweep_rules nft
	# Asking the older kind for its rules would switch it on.
	if [ -s /proc/net/ip_tables_names ]; then
		sweep_rules legacy
	fi
}

sweep_rules() {
	local iptables="/usr/sbin/xtables-$1-multi"
	{
		echo '*nat'
		"$iptables" iptables-save -t nat 2>/dev/null |
			sed -n "/^-A POSTROUTING .*\\\\\"$network\\\\\"/{s/^-A/-D/p; s/.* -j \(CNI-[0-9a-f]*\)\$/-F \1\n-X \1/p}"
		printf 'COMMIT\n*filter\n'
		"$iptables" iptables-save -t filter 2>/dev/null | sed -n "/^-A CNI-FORWARD .*${subnet//./\\.}\./s/^-A/-D/p"
		echo COMMIT
	} | "$iptables" iptables-restore --noflush || say "Rules of an earlier engine stay in iptables ($1)."
}
