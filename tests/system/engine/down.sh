#!/bin/bash
# Stop the engine and the registry that up.sh started. What they keep stays for the next time;
# `down.sh --purge` removes it as well, but neither programs nor images.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case $* in
'' | --purge) ;;
*) fail "usage: $0 [--purge]" ;;
esac
stop "$run/engine.pid" "$cache/bin/dagger-engine" 30
if program=$(command -v docker-registry); then
	stop "$run/registry.pid" "$(readlink -f "$program")" 10
fi
if command -v iptables-save >/dev/null; then
	sweep_network
fi
if [ "${1-}" = --purge ]; then
	rm -rf "$cache/state" "$cache/registry"
fi
