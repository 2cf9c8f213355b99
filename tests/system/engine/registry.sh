# The loopback registry that engines and the cluster share. To be sourced after common.sh.
# shellcheck shell=bash

registry_run="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/engine/run" # pid, log, generated configuration
registry_data="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/engine/registry"

registry_address() {
	# The system chooses the port; the registry says which.
	sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$registry_run/registry.log" | tail -n 1
}

registry_answers() {
	address=$(registry_address) && [ -n "$address" ] && curl -sf -o /dev/null "http://$address/v2/"
}

# Sets `address`.
start_registry() {
	local program
	program=$(readlink -f "$(command -v docker-registry)")
	if running "$registry_run/registry.pid" "$program" && registry_answers; then
		return
	fi
	stop "$registry_run/registry.pid" "$program" 10
	mkdir -p "$registry_run" "$registry_data"
	cat >"$registry_run/registry.yml" <<-YAML
		version: 0.1
		log: {level: info, accesslog: {disabled: true}}
		storage:
		  filesystem: {rootdirectory: $registry_data}
		  delete: {enabled: true}
		http: {addr: "127.0.0.1:0"}
	YAML
	OTEL_TRACES_EXPORTER=none setsid "$program" serve "$registry_run/registry.yml" \
		</dev/null >"$registry_run/registry.log" 2>&1 &
	echo $! >"$registry_run/registry.pid"
	wait_for 20 registry_answers || fail "The registry does not start: see $registry_run/registry.log"
}

# Stop it, unless an engine or the cluster uses it.
leave_registry() {
	local folder="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests" pid program
	for pid in "$folder"/engine/engines/*/engine.pid; do
		if running "$pid" "$folder/engine/bin/dagger-engine"; then
			return
		fi
	done
	if running "$folder/cluster/cluster.pid" "$(readlink -f "$(command -v bash)")"; then
		return
	fi
	if program=$(command -v docker-registry); then
		stop "$registry_run/registry.pid" "$(readlink -f "$program")" 10
	fi
}
