#!/bin/bash
# Bring up the cluster that `make test-system` deploys to, and print the variables that its users set:
#   eval "$(tests/system/cluster/up.sh)"
# etcd, API server, controller manager, scheduler, kubelet, containerd and runc, on one node, this machine. A
# cluster that runs already is used as it is; one that is started begins empty. Seconds when warm, up to twenty
# minutes on a fresh machine.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(ca-certificates containerd containernetworking-plugins curl docker-registry etcd-server iproute2
	openssl runc)
shell=$(readlink -f "$(command -v bash)")

# What holds a pod's namespaces, in an image of its own, pushed where the kubelet pulls from.
push_pause() {
	local reference="$address/tests/pause:1" room
	pause=$("$programs/crane" digest --insecure "$reference" 2>/dev/null) || pause=
	if [ -z "$pause" ] || [ "$(cat "$cache/pause.key" 2>/dev/null)" != "$(cat "$cache/bin/.key") $pause" ]; then
		room=$(mktemp -d)
		tar --create --file "$room/layer.tar" --directory "$cache/bin" --owner=0 --group=0 --mtime=@0 pause
		"$programs/crane" append --insecure --new_layer "$room/layer.tar" --new_tag "$reference" >/dev/null
		"$programs/crane" mutate --insecure "$reference" --entrypoint /pause --user 65535:65535 \
			--set-platform "linux/$(dpkg --print-architecture)" --tag "$reference" >/dev/null
		rm -r "$room"
		pause=$("$programs/crane" digest --insecure "$reference")
		echo "$(cat "$cache/bin/.key") $pause" >"$cache/pause.key"
	fi 2>"$cache/pause.log" || fail "The pods' image cannot be pushed: see $cache/pause.log"
	pause="$address/tests/pause@$pause"
}

free_ports() {
	python3 - <<-'PY'
		import socket
		held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
		print(*(one.getsockname()[1] for one in held))
	PY
}

certificates() {
	cd "$home"
	openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mlifecycle-tests \
		-keyout ca.key -out ca.crt
	openssl req -newkey rsa:2048 -nodes -subj /CN=kube-apiserver -keyout server.key -out server.csr
	openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out server.crt \
		-extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
	openssl genrsa -out accounts.key 2048
}

# In a shell of its own: nobody else may read it, but images are unpacked by the usual rule.
write_configuration() (
	umask 077
	rm -rf "$home" "$run"
	mkdir -p "$home/cni" "$run"
	free_ports >"$home/ports"
	(certificates) >"$home/openssl.log" 2>&1 || fail "openssl fails: see $home/openssl.log"
	token=$(openssl rand -hex 24)
	echo "$token,admin,admin,system:masters" >"$home/tokens.csv"
	cat >"$home/kubeconfig" <<-YAML
		apiVersion: v1
		kind: Config
		current-context: tests
		clusters:
		- name: tests
		  cluster: {server: "https://127.0.0.1:$(cut -d ' ' -f 1 "$home/ports")", certificate-authority: $home/ca.crt}
		users:
		- name: admin
		  user: {token: $token}
		contexts:
		- name: tests
		  context: {cluster: tests, user: admin}
	YAML
	for file in containerd.toml kubelet.yaml network.conflist; do
		sed "s#@HOME@#$home#g; s#@RUN@#$run#g; s#@PAUSE@#$pause#; s#@BRIDGE@#$bridge#; s#@PODS@#$pods#;
			s#@KUBELET@#$(cut -d ' ' -f 4 "$home/ports")#" "$here/$file" >"$home/$file"
	done
	mv "$home/network.conflist" "$home/cni/"
)

# The first process of the cluster's namespace, as this machine numbers it.
find_first() { pgrep -P "$1" >"$cache/cluster.pid"; }

answers() { kubectl get --raw /readyz >/dev/null 2>&1; }

node_ready() {
	running "$cache/cluster.pid" "$shell" || fail "The cluster ends: see $home/*.log"
	[ "$(kubectl get node localhost \
		-o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

# The account that pods without their own take; its controller is the last to be at work.
account_there() { kubectl --namespace default get serviceaccount default >/dev/null 2>&1; }

start_cluster() {
	if running "$cache/cluster.pid" "$shell" && answers &&
		[ "$(cat "$home/key")" = "$(cat "$cache/bin/.key") $pause" ]; then
		return
	fi
	"$here/down.sh" --keep-registry
	say "Starting the cluster …"
	write_configuration
	echo "$(cat "$cache/bin/.key") $pause" >"$home/key"
	setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash "$here/namespace.sh" </dev/null >"$home/namespace.log" 2>&1 &
	wait_for 20 find_first $! || fail "The cluster does not start: see $home/namespace.log"
	wait_for 120 answers || fail "The API server does not answer: see $home/kube-apiserver.log"
	wait_for 120 node_ready || fail "The node does not get ready: see $home/kubelet.log"
	wait_for 60 account_there || fail "No accounts are made: see $home/kube-controller-manager.log"
}

[ "$(id -u)" = 0 ] || fail "The tests' cluster needs root."
command -v apt-get >/dev/null || fail "The tests' cluster needs Debian."
mkdir -p "$cache"
exec 8>"$cache/lock"
flock -w 3600 8 || fail "Another up.sh holds $cache/lock for more than an hour."

install_packages "$cache/apt.log" "${packages[@]}"
"$here/build.sh"
"$here/../tools/install.sh" crane
start_registry 8>&-
push_pause
start_cluster 8>&-

echo "export PATH=$cache/bin:\$PATH KUBECONFIG=$home/kubeconfig"
echo "export MLIFECYCLE_TEST_CLUSTER=$home MLIFECYCLE_TEST_REGISTRY=$address MLIFECYCLE_TEST_TOOLS=$programs"
