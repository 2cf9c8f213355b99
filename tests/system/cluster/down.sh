#!/bin/bash
# Stop the cluster that `up.sh` started, with all that runs in it, and the registry when nobody else uses it.
# What was built stays for the next time; with --purge the cluster's state and logs are removed.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1-} in '' | --purge | --keep-registry) ;; *) fail "usage: $0 [--purge]" ;; esac
shell=$(readlink -f "$(command -v bash)")
if running "$cache/cluster.pid" "$shell"; then
	# Nothing of it is kept: the kernel ends the namespace's processes with the first.
	kill -9 "$(cat "$cache/cluster.pid")"
	wait_for 20 not running "$cache/cluster.pid" "$shell" || fail "The cluster cannot be stopped."
fi
rm -f "$cache/cluster.pid"
if ip link show "$bridge" >/dev/null 2>&1; then
	ip link delete "$bridge"
fi
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
if [ "${1-}" = --purge ]; then
	rm -rf "$home" "$run"
fi
if [ "${1-}" != --keep-registry ]; then
	leave_registry
fi
