#!/bin/bash
# Run the cluster as `up.sh` starts it: in a mount and a process namespace of its own, so that no other
# container engine sees its pods' mounts, and nothing of it outlives this shell, which is the first process.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The kubelet shares mounts with pods; this namespace shares none with the machine.
mount --make-rshared /
for folder in /run/netns /var/lib/cni /var/lib/kubelet /var/log; do
	mkdir -p "$folder"
	mount -t tmpfs tmpfs "$folder"
done

# keep NAME COMMAND…: start it again whenever it ends, as a real machine's supervisor does.
keep() {
	local name=$1
	shift
	while true; do
		"$@" >>"$home/$name.log" 2>&1 </dev/null || true
		echo "--- $name ended; it is started again ---" >>"$home/$name.log"
		sleep 1
	done &
}

read -r api etcd peer kubelet <"$home/ports"
export PATH="/usr/sbin:/sbin:$PATH"
cd "$home"
keep etcd etcd --data-dir "$home/etcd" --unsafe-no-fsync \
	--listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
	--listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
	--initial-cluster "default=http://127.0.0.1:$peer"
keep containerd containerd --config "$home/containerd.toml"
keep kube-apiserver "$cache/bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" \
	--bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api" \
	--tls-cert-file "$home/server.crt" --tls-private-key-file "$home/server.key" \
	--service-account-issuer https://kubernetes.default.svc \
	--service-account-key-file "$home/accounts.key" --service-account-signing-key-file "$home/accounts.key" \
	--token-auth-file "$home/tokens.csv" --authorization-mode Node,RBAC --allow-privileged \
	--service-cluster-ip-range "$services" --endpoint-reconciler-type none \
	--kubelet-preferred-address-types Hostname
keep kube-controller-manager "$cache/bin/kube-controller-manager" --kubeconfig "$home/kubeconfig" \
	--service-account-private-key-file "$home/accounts.key" --root-ca-file "$home/ca.crt" \
	--use-service-account-credentials --leader-elect=false --secure-port 0
keep kube-scheduler "$cache/bin/kube-scheduler" --kubeconfig "$home/kubeconfig" --leader-elect=false \
	--secure-port 0
# The first of the machine's addresses: the pods' probes come from there.
keep kubelet "$cache/bin/kubelet" --config "$home/kubelet.yaml" --kubeconfig "$home/kubeconfig" \
	--root-dir "$home/kubelet" --cert-dir "$home/kubelet-certificates" --hostname-override localhost \
	--node-ip "$(hostname -I | cut -d ' ' -f 1)"
wait
