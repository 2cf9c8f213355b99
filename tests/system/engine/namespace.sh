#!/bin/bash
# Run the engine as `up.sh` starts it: in a mount and a process namespace of its own, so that what it
# wants of the machine's folders stays private and nothing of it outlives it.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# over FOLDER: changes to it from here on are kept in memory and seen by the engine alone.
over() {
	local layer="$run/private/${1//\//_}"
	mkdir -p "$layer/upper" "$layer/work"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" "$1"
}

mkdir -p "$run/private"
mount -t tmpfs tmpfs "$run/private"
for folder in /usr/bin /usr/local /opt /etc; do
	over "$folder"
done
# Where source/standins/distconsts and the engine's network code look.
mkdir -p /opt/cni/bin /usr/local/bin /usr/local/share/dagger
ln -sf "$(command -v runc)" /usr/local/bin/runc
ln -sf "$cache/bin/dagger-init" /usr/local/bin/dagger-init
ln -sfn "$cache/content" /usr/local/share/dagger/content
ln -sf /usr/lib/cni/{bridge,loopback,firewall,host-local} /opt/cni/bin/
ln -sf "$cache/bin/dnsname" /opt/cni/bin/dnsname
ln -sf /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi /usr/bin/
# The machine's certificates are in the test images already: the engine would install them into every
# container again, at two seconds each.
mkdir -p "$run/private/no-certificates" /usr/local/share/ca-certificates
mount --bind "$run/private/no-certificates" /usr/local/share/ca-certificates
mkdir -p /run/containers
mount -t tmpfs tmpfs /run/containers

ulimit -n 1048576 2>/dev/null || true
DAGGER_PYTHON_SDK_MANIFEST_DIGEST=$(cat "$cache/content/python-sdk")
export DAGGER_PYTHON_SDK_MANIFEST_DIGEST DO_NOT_TRACK=1
# This shell stays as the namespace's first process: when the engine ends, however it ends, the shell
# ends, and the kernel with it everything that the engine left running.
"$cache/bin/dagger-engine" --config "$run/engine.toml" --root "$cache/state" \
	--addr "unix://$run/engine.sock" --network-name mlifecycle --network-cidr 10.187.0.0/16 &
wait $!
