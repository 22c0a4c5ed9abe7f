# Trinity: `make run` and `make test` do all the set-up, from nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# CDK says for eleven lines that Node 20 will not be mended for ever.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 1

.PHONY: help run demo test check fix docs catalogue artefacts synth cloud bench bench-cold lock clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

# A stamp for each set of packages: installed again only when its lock file changes.
$(VENV)/run.stamp: requirements/run.lock pyproject.toml
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@echo "Setting up (once) …" && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.lock
	@echo "Setting up the workshop (once) …" && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/cloud.stamp: $(VENV)/dev.stamp requirements/cloud.lock
	@echo "Setting up CDK (once) …" && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/cloud.lock
	@touch $@

run: $(VENV)/run.stamp ## serve Trinity on this machine
	@exec $(BIN)/trinity serve

demo: $(VENV)/run.stamp ## watch simulated friends reach a match
	@exec $(BIN)/trinity demo

check: $(VENV)/dev.stamp ## format, lint, types, arrows, unit tests: seconds, changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.write_docs --check
	$(BIN)/pytest tests/unit

test: check chromium node redis valgrind $(VENV)/cloud.stamp ## everything, with nothing skipped
	$(BIN)/pytest tests --ignore=tests/unit

.PHONY: valgrind
valgrind:
	@command -v valgrind >/dev/null || (echo "Installing Valgrind, which counts instructions …" && apt-get -qq update && apt-get -qq install -y valgrind >/dev/null)

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || (echo "Installing Chromium for the browser tests …" && apt-get -qq update && apt-get -qq install -y chromium >/dev/null)

.PHONY: node
node:
	@command -v npm >/dev/null || (echo "Installing Node.js for CDK and the tests of clients …" && apt-get -qq update && apt-get -qq install -y nodejs npm >/dev/null)

.PHONY: redis
redis:
	@command -v redis-server >/dev/null || (echo "Installing Redis for the tests of the cache …" && apt-get -qq update && apt-get -qq install -y redis-server >/dev/null)

fix: $(VENV)/dev.stamp ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/run.stamp ## write schema/openapi.json and the reference pages anew
	$(BIN)/python -m tools.write_docs

catalogue: $(VENV)/dev.stamp ## build the shipped list of films anew
	$(BIN)/python -m pip install -q --require-hashes -r requirements/catalogue.lock
	$(BIN)/python tools/build_catalogue.py

artefacts: $(VENV)/run.stamp ## build what Lambda gets: a zip for each function, and layers
	$(BIN)/python -m deploy.artefacts

synth: node artefacts $(VENV)/cloud.stamp ## write the CloudFormation templates: of STAGE=…, or of all stages
	$(BIN)/python -m deploy.app $(if $(STAGE),--stage $(STAGE) --output cdk.out/$(STAGE))

cloud: node $(VENV)/cloud.stamp ## deploy to a local AWS and serve there until Ctrl-C
	@exec $(BIN)/python -m deploy.cloud

bench: $(VENV)/dev.stamp ## measure, beside PocketBase
	@(command -v wrk && command -v strace) >/dev/null || (apt-get -qq update && apt-get -qq install -y wrk strace >/dev/null)
	$(BIN)/python -m pip install -q --require-hashes -r requirements/bench.lock
	$(BIN)/python -m bench

bench-cold: $(VENV)/dev.stamp ## measure functions at their start, beside boto3, Powertools and pydantic
	@$(BIN)/python -m bench.cold

lock: ## renew the lock files
	@test -x $(VENV)/uv/bin/uv || (python3 -m venv $(VENV)/uv && $(VENV)/uv/bin/pip install -q uv)
	tools/lock.sh $(VENV)/uv/bin/uv

clean: ## remove what can be made again; data stays
	rm -rf $(VENV) build cdk.out deploy/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
