# Atrium. `make dev` runs the product and `make test` runs the tests. Both install their dependencies below this folder.
SHELL := /bin/bash
# Omits the lines "Entering directory", which would be part of the output of `make invoke`.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The first Python 3.13 on PATH or in pyenv that starts. A pyenv shim on PATH may fail.
PYTHON ?= $(shell for p in python3.13 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.13*/bin/python3.13 /usr/local/bin/python3.13 \
	/opt/homebrew/bin/python3.13 python3; do "$$p" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
	&& command -v "$$p" && break; done)
ENV ?= dev
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The instance metadata service is disabled (it delays local commands), except for commands that call AWS.
ON_AWS := AWS_EC2_METADATA_DISABLED=$(AWS_EC2_METADATA_DISABLED)
export AWS_EC2_METADATA_DISABLED := true
# Write bytecode even if the shell disables it, because many processes import the same modules.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

# --- environments: emulator, SAM CLI and the SDKs of client tests have separate environments, because their dependencies
# conflict with the product's

# $(call phase,text,command): print the text, run the command, then print its duration.
phase = printf '%s ... ' "$(1)" >&2; begun=$$SECONDS; \
	$(2) || { echo failed >&2; exit 1; }; echo "$$((SECONDS - begun)) s" >&2

.venv/.ready: infra/requirements/uv.txt infra/requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.13 is missing: install it, or a pyenv version of it" >&2; exit 1; }
	@test -x $(PY) || { $(call phase,creating .venv with $(PYTHON),"$(PYTHON)" -m venv .venv); }
	@$(call phase,installing uv,$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r infra/requirements/uv.txt)
	@$(call phase,installing Python packages into .venv,.venv/bin/uv pip install -q --compile-bytecode --python $(PY) --require-hashes -r infra/requirements/dev.txt)
	@$(call phase,installing Atrium into .venv,.venv/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .)
	@touch $@

.local/%/.ready: infra/requirements/%.txt .venv/.ready
	@test -x .local/$*/bin/python || .venv/bin/uv venv -q --python $(PY) .local/$*
	@$(call phase,installing the packages of .local/$*,.venv/bin/uv pip install -q --compile-bytecode --python .local/$*/bin/python --require-hashes -r $<)
	@touch $@

.PHONY: setup
setup: .venv/.ready ## Install the development dependencies

# --- run

.PHONY: dev stop logs env
dev: .venv/.ready .local/emulator/.ready ## Run the whole product on this machine (PORT=8080, DETACH=1)
	@exec $(PY) -m infra.local.dev up

stop: .venv/.ready ## Stop the stack that `make dev DETACH=1` started
	@$(PY) -m infra.local.dev down

logs: .venv/.ready ## Follow the logs of the local stack (LOG_LEVEL=DEBUG shows all parts)
	@exec $(PY) -m infra.local.dev logs

env: .venv/.ready ## Print a shell script that sets the variables of the guides: eval "$$(make env)"
	@$(PY) -m infra.local.dev env

.PHONY: invoke
invoke: .venv/.ready ## Run one built function on an event: FUNCTION=chat EVENT=tests/events/chat/answer.json
	@$(PY) -m infra.runtime.invoke --function "$(FUNCTION)" --event "$(EVENT)"

# --- test

.PHONY: test
# The end-to-end tests mostly wait, so they run beside the others, with a higher priority.
test: .venv/.ready .local/emulator/.ready ## Run the tests (no network, no Java)
	@set -m; $(PY) -m pytest -p no:cacheprovider -m "not slow" tests/e2e >.local/e2e.log 2>&1 & e2e=$$!; set +m; \
	trap "kill -INT -- -$$e2e" INT TERM; \
	nice -n 10 $(PY) -m pytest -n 4 --dist loadfile tests; status=$$?; \
	until wait $$e2e; do kill -0 $$e2e 2>/dev/null || { status=1; break; }; done; \
	cat .local/e2e.log; exit $$status

.PHONY: check
check: .venv/.ready .local/sam/.ready ## Check format, lint, types, import contracts, template and artifacts
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports --no-logo
	@$(PY) -m infra.checks
	@$(PY) -m infra.openapi --check
	@cfn-lint template.yaml
	@AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 .local/sam/bin/sam validate --lint
	@$(MAKE) -s build
	@$(PY) -m infra.checks.artifacts

.PHONY: format
format: .venv/.ready ## Format the code and apply automatic fixes
	@ruff format .
	@ruff check --fix .

.PHONY: conformance
conformance: .venv/.ready .local/emulator/.ready .local/clients/.ready ## Run tests on DynamoDB Local and the real web adapter (Java 17, Maven, cargo)
	@$(PY) -m infra.conformance

.PHONY: bench
bench: .venv/.ready .local/emulator/.ready ## Measure admission and turns; print a table and write .local/bench.json (Java 17, Maven)
	@$(PY) -m tests.bench

.PHONY: trace
trace: .venv/.ready ## List the project's files and functions that a warm `POST /v1/chat` executes
	@$(PY) -m tests.bench.trace

.PHONY: iam
iam: .venv/.ready ## Evaluate the IAM roles for every AWS call of the functions in the tests (Node 20)
	@$(PY) -m infra.iam

.PHONY: mutants
mutants: .venv/.ready ## Mutation-test tenant isolation: remove each check and expect a failing test (several minutes)
	@$(PY) -m infra.mutants

.PHONY: openapi
openapi: .venv/.ready ## Write the merged OpenAPI document
	@$(PY) -m infra.openapi

# --- build and deploy

.PHONY: build deploy bootstrap
build: .venv/.ready .local/sam/.ready ## Build functions and layers for arm64, without Docker
	@SAM_CLI_TELEMETRY=0 .local/sam/bin/sam build --cached --parallel >.local/build.log 2>&1 || { tail -n 20 .local/build.log >&2; exit 1; }

deploy: .venv/.ready .local/sam/.ready ## Check, build and deploy to AWS: ENV=dev, staging or prod (CHECK=1 only checks)
	@$(ON_AWS) $(PY) -m infra.deploy --env "$(ENV)" $(if $(filter-out 0,$(CHECK)),--check)

bootstrap: .venv/.ready ## Fill the secrets of a deployed stack and print the first platform key: ENV=dev
	@$(ON_AWS) $(PY) -m infra.bootstrap --env "$(ENV)"

.PHONY: restore
restore: .venv/.ready ## Restore a stack's table to a new one: ENV=prod (AT=2026-11-28T12:00:00Z, NAME=)
	@$(ON_AWS) $(PY) -m infra.deploy.restore --env "$(ENV)" $(if $(AT),--at "$(AT)") $(if $(NAME),--name "$(NAME)")

.PHONY: rebuild-counters
rebuild-counters: .venv/.ready ## Rebuild a tenant's counters from its ledger: TENANT=ten_… (MONTH=, CHECK=1, ENV=)
	@$(ON_AWS) $(PY) -m infra.rebuild --tenant "$(TENANT)" --env $(if $(filter file,$(origin ENV)),local,$(ENV)) --month "$(MONTH)" $(if $(filter-out 0,$(CHECK)),--check)

.PHONY: clean
clean: ## Delete all built and installed files below this folder
	@rm -rf .venv .local .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
