#!/bin/bash
# Run the engine of the given name as `up.sh` starts it: in a mount and a process namespace of its own, so that what it
# wants of the machine's folders stays private and nothing of it outlives it.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
choose_engine "$1"
private="$home/private"

# over FOLDER: changes to it from here on are kept in memory and seen by the engine alone.
over() {
	local layer="$private/${1//\//_}"
	mkdir -p "$layer/upper" "$layer/work"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" "$1"
}

mkdir -p "$private"
mount -t tmpfs tmpfs "$private"
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
# Left to itself dnsmasq takes port 53 of every address, and a second engine or a resolver of the machine
# could not run beside it.
cat >/usr/local/bin/dnsmasq <<-'SH'
	#!/bin/sh
	exec /usr/sbin/dnsmasq --bind-dynamic "$@"
SH
chmod +x /usr/local/bin/dnsmasq
export PATH=/usr/local/bin:$PATH
# The machine's certificates are in the test images already: the engine would install them into every
# container again, at two seconds each.
mkdir -p "$private/no-certificates" /usr/local/share/ca-certificates
mount --bind "$private/no-certificates" /usr/local/share/ca-certificates
for folder in /run/containers /run/dagger /run/buildkit; do
	mkdir -p "$folder"
	mount -t tmpfs tmpfs "$folder"
done

ulimit -n 1048576 2>/dev/null || true
DAGGER_PYTHON_SDK_MANIFEST_DIGEST=$(cat "$cache/content/python-sdk")
export DAGGER_PYTHON_SDK_MANIFEST_DIGEST DO_NOT_TRACK=1
# This shell stays as the namespace's first process: when the engine ends, however it ends, the shell
# ends, and the kernel with it everything that the engine left running.
"$cache/bin/dagger-engine" --config "$home/engine.toml" --root "$home/state" \
	--addr "unix://$home/engine.sock" --network-name "$network" --network-cidr "$subnet.0.0/16" &
wait $!
