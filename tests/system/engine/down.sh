#!/bin/bash
# Stop every engine and the registry that up.sh started, or the engine of one name only:
#   tests/system/engine/down.sh [NAME] [--purge]
# What they keep stays for the next time; with --purge it is removed, but neither programs nor images.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

names=() purge=
for argument in "$@"; do
	case $argument in
	--purge) purge=yes ;;
	-*) fail "usage: $0 [NAME] [--purge]" ;;
	*) names+=("$argument") ;;
	esac
done
all=
if [ ${#names[@]} = 0 ]; then
	all=yes
	mapfile -t names < <(ls "$cache/engines" 2>/dev/null)
fi
for name in "${names[@]}"; do
	choose_engine "$name"
	stop_engine
	sweep_network
	if [ $purge ]; then
		rm -rf "$home"
	fi
done
if [ $all ] && program=$(command -v docker-registry); then
	stop "$run/registry.pid" "$(readlink -f "$program")" 10
	if [ $purge ]; then
		rm -rf "$cache/registry"
	fi
fi
