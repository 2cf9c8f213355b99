# Two commands set up everything on a fresh machine: `make demo` and `make test`.
# Needed beforehand: Python 3.11 or later, git, make.

PYTHON ?= python3
# An index with CPU builds of torch (they are a tenth of the size), for those who can reach one:
#   make lock TORCH_INDEX=https://…   then   make demo TORCH_INDEX=https://…
TORCH_INDEX ?=
export MLIFECYCLE_TORCH_INDEX := $(TORCH_INDEX)
export UV_PYTHON_DOWNLOADS := never
# Where Python writes no bytecode, every command would compile what it imports: seconds of torch's alone.
export UV_COMPILE_BYTECODE := 1

VENV := .venv
BIN := $(VENV)/bin
# An installed uv is used as it is; else the pinned one is installed into .venv/uv.
UV := $(or $(shell command -v uv 2>/dev/null),$(VENV)/uv/bin/uv)
INDEX := $(if $(TORCH_INDEX),--index $(TORCH_INDEX) --index-strategy unsafe-best-match)
INSTALL = $(UV) pip install --quiet --require-hashes $(INDEX)
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(INDEX)
# pyproject.toml's settings are for the module's requirements.lock: they would leave dagger-io out.
COMPILE_APART = $(COMPILE) --no-config --python-version 3.11
MANIFEST ?= examples/valid/model-manifest.yaml

.PHONY: help demo test lint test-system bench bench-serving setup lock generate clean

help: ## Say what each target does
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

demo: setup ## Deploy the example model and ask it for a prediction
	$(BIN)/mlifecycle deploy --manifest $(MANIFEST)

test: $(VENV)/.dev ## Run the tests
	$(BIN)/pytest -n auto

lint: $(VENV)/.dev ## Run ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the tests of the host's own parts need; the engine's script brings the rest.
TOOLS := actionlint dockle gitleaks grype kubeconform kustomize opa syft tofu trivy

# Some go on at once, since deploys and calls wait more than they compute; what is marked `alone` has the
# machine for itself.
ASIDE := -n 3 --dist loadfile --no-loadscope-reorder -m "not alone"
test-system: $(VENV)/.dev $(VENV)/.infrastructure ## Run the tests on real parts: a Dagger engine, a Kubernetes cluster, OPA, scanners, a load
	tests/system/tools/install.sh $(TOOLS)
	tests/system/tools/debian.sh prometheus
	tests/system/databases/install.sh
	variables="$$(tests/system/engine/up.sh)" && eval "$$variables" && \
		variables="$$(tests/system/cluster/up.sh)" && eval "$$variables" && \
		rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/mlifecycle-tests/go" && \
		{ failed=0; $(BIN)/pytest $(ASIDE) tests/system/dagger || failed=1; \
		$(BIN)/pytest $(ASIDE) tests/system --ignore tests/system/dagger || failed=1; \
		$(BIN)/pytest -m alone tests/system --ignore tests/system/dagger || failed=1; [ $$failed = 0 ]; }; \
		status=$$?; tests/system/cluster/down.sh || status=1; tests/system/engine/down.sh || status=1; exit $$status

bench: $(VENV)/.dev ## Measure the pipeline; results go into benchmarks/README.md by hand
	$(BIN)/python benchmarks/pipeline.py

bench-serving: $(VENV)/.dev ## Measure the inference server beside its peers; needs wrk
	$(BIN)/python benchmarks/inference.py

setup: $(VENV)/.pipeline $(VENV)/.scanners ## Install the pipeline and its scanners into .venv

lock: $(UV) ## Resolve every requirements file and the examples' locks anew
	for name in uv pipeline scanners converter infrastructure dev; do \
		$(COMPILE_APART) requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	$(COMPILE) pyproject.toml -o requirements.lock
	$(MAKE) $(VENV)/.pipeline
	$(BIN)/mlifecycle lock --manifest examples/valid/model-manifest.yaml
	$(BIN)/mlifecycle lock --manifest examples/valid/breast-cancer-manifest.yaml

generate: $(VENV)/.dev ## Write the generated schema and reference pages anew
	$(BIN)/python -m pipeline.manifest.schema
	$(BIN)/python -m pipeline.manifest.reference
	$(BIN)/python -m pipeline.policy.reference
	$(BIN)/python kustomize/schemas/make.py

clean: ## Remove the environments and the state folder (stop what is deployed first)
	rm -rf $(VENV) .mlifecycle

$(VENV)/uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; $(PYTHON) is older. Try: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt

$(BIN)/python: | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; $(PYTHON) is older. Try: make demo PYTHON=python3.12"; exit 1; }
	$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)

$(VENV)/.pipeline: requirements/pipeline.txt pyproject.toml | $(BIN)/python
	@echo "Installing the pipeline …"
	VIRTUAL_ENV=$(VENV) $(INSTALL) -r requirements/pipeline.txt
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q pipeline serving
	@touch $@

$(VENV)/.scanners: requirements/scanners.txt | $(BIN)/python
	@echo "Installing the scanners …"
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)/scanners
	VIRTUAL_ENV=$(VENV)/scanners $(INSTALL) -r requirements/scanners.txt
	@touch $@

$(VENV)/.infrastructure: requirements/infrastructure.txt | $(BIN)/python
	@echo "Installing what judges terraform/ …"
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)/infrastructure
	VIRTUAL_ENV=$(VENV)/infrastructure $(INSTALL) -r requirements/infrastructure.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.pipeline $(VENV)/.scanners
	@echo "Installing the test tools and torch (several GB unless TORCH_INDEX is set) …"
	VIRTUAL_ENV=$(VENV) $(INSTALL) -r requirements/dev.txt
	@touch $@
