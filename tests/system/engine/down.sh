#!/bin/bash
# Stop the engine that `up.sh [NAME]` started, and the registry once no engine is left to use it:
#   tests/system/engine/down.sh [NAME] [--purge]
# What the engine cached stays for the next time; with --purge it is removed.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

name=main purge=
for argument in "$@"; do
	case $argument in
	--purge) purge=yes ;;
	-*) fail "usage: $0 [NAME] [--purge]" ;;
	*) name=$argument ;;
	esac
done
choose_engine "$name"
# An engine ends when the calls that it answers have ended.
stop_engine
if command -v iptables >/dev/null; then
	sweep_network
fi
if [ $purge ]; then
	rm -rf "$home"
fi
leave_registry
