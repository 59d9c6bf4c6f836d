PYTHON := .venv/bin/python
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
NAME ?= $(shell id -un)
AUDIT := .stack/audit
FOLDER ?= .stack/screenshots
FILE ?= .env
BACKUPS ?= backups
# zsh and dash leave the ~ of BACKUPS=~/backups as it is
override FOLDER := $(patsubst ~/%,$(HOME)/%,$(FOLDER))
override FILE := $(patsubst ~/%,$(HOME)/%,$(FILE))
override BACKUPS := $(patsubst ~/%,$(HOME)/%,$(BACKUPS))
override BACKUP := $(patsubst ~/%,$(HOME)/%,$(BACKUP))
GATEWAY_PORT ?= 8000
URL ?= http://localhost:$(GATEWAY_PORT)
BENCH := .stack/bench
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)


# Python compiles our modules once, and not again in each of the many processes that a test run starts.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: audit backup restore bench cluster screenshots translations help pin sbom venv run stop status operator shell env up down demo test test-cluster test-fast test-slow check format lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

venv:
	@dev/stack/make-venv

run: venv ## Run the whole system here until Ctrl-C (installs what is missing)
	@$(PYTHON) -m dev.stack run

cluster: venv ## Run a cluster here until Ctrl-C: three of each server, two of each program, a proxy
	@$(PYTHON) -m dev.stack --folder .stack/cluster cluster

stop: venv ## Stop the system, or the processes that a killed run left behind
	@$(PYTHON) -m dev.stack stop

status: venv ## List the running system's processes
	@$(PYTHON) -m dev.stack status

operator: venv ## Add an operator of the running system, with a new signing key (NAME=olga)
	@$(PYTHON) -m dev.stack operator "$(NAME)"

shell: venv ## Open an operator's nameko shell on the running system (NAME=olga)
	@settings="$$($(PYTHON) -m dev.stack env "$(NAME)")" && eval "$$settings" && exec $(PYTHON) -m ops.shell

env: .stack/env/ready ## Create .env, the containers' settings, with new secrets (FILE=.env)
	@.stack/env/bin/python -m dev.env "$(FILE)"

.stack/env/ready: requirements-env.txt  # what makes keys, and nothing else
	@python3 -m venv --clear .stack/env
	@.stack/env/bin/python -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r requirements-env.txt
	@touch $@

up: ## Run the whole system in containers (needs Docker with compose)
	@test -e .env || $(MAKE) env
	@$(COMPOSE) build mongo-setup
	@$(COMPOSE) up --detach

down: ## Stop the containers; their data are kept
	@$(COMPOSE) --profile demo --profile monitoring --profile operator down

ifdef CONTAINERS
backup: ## Back up all databases while the site runs, into BACKUPS=backups (CONTAINERS=1: those of the containers)
	@mkdir -p -m 700 "$(BACKUPS)"
	@$(COMPOSE) run --rm --user "$$(id -u):$$(id -g)" --volume "$$(realpath "$(BACKUPS)"):/backups" backup

restore: ## Restore BACKUP=backups/… while nothing runs (REPLACE=1, CONTAINERS=1)
	@test -d "$(BACKUP)" || { echo "BACKUP names no folder: take one of backups/"; exit 1; }
	@$(COMPOSE) stop
	@$(COMPOSE) run --rm --user "$$(id -u):$$(id -g)" --volume "$$(realpath "$(BACKUP)"):/backup:ro" restore python -m ops.restore /backup $(if $(REPLACE),--replace) \
		|| { echo "the system is stopped: make up starts it"; exit 1; }
	@$(COMPOSE) run --rm --no-deps --entrypoint sh rabbitmq -c "rm -rf /var/lib/rabbitmq/*"
	@$(COMPOSE) run --rm --no-deps --entrypoint sh redis -c "rm -rf /data/*"
	@echo "restored: make up starts the system"
else
backup: venv
	@$(PYTHON) -m dev.stack backup "$(BACKUPS)"

restore: venv
	@$(PYTHON) -m dev.stack restore $(if $(BACKUP),"$(BACKUP)") $(if $(REPLACE),--replace)
endif

demo: venv ## Fill the running system with tickets and orders (URL=http://localhost:8000)
	@$(PYTHON) -m dev.demo "$(URL)"

screenshots: venv ## Draw every page and state, wide and narrow, light and dark, in each language (FOLDER=.stack/screenshots)
	@$(PYTHON) -m dev.stack install --browser
	@$(PYTHON) -W ignore -m dev.screenshots "$(FOLDER)"

translations: venv ## Add the pages' new texts to the catalogues of the languages, and list those to be translated
	@$(PYTHON) -m dev.translations

test: venv ## Run every test, on real servers and in a browser (installs what is missing)
	@$(PYTHON) -m dev.stack install --browser
	$(PYTHON) -m pytest -n $$((2 * $$(nproc)))  # most tests wait for servers most of the time; more keep the cores busy

test-fast: venv ## Run the tests that need no server, without lengthy ones and the protocol search
	$(PYTHON) -m pytest -n $$(nproc) -m "not integration and not lengthy" --ignore tests/api --ignore tests/e2e --ignore tests/protocol

test-cluster: venv ## Buy while each part of a cluster fails in turn; print the outages (half an hour)
	@$(PYTHON) -m dev.stack install --cluster
	unshare --user --map-root-user --net $(PYTHON) -m pytest -n 0 tests/cluster

test-slow: venv ## Run the long tests: races, crashes, a deep protocol search, alerts, an upgrade, a healthy hour (three hours)
	@$(PYTHON) -m dev.stack install
	@command -v prometheus >/dev/null || dev/stack/apt-install prometheus
	HEALTHY_MINUTES=60 MONEY_ROUNDS=200 TICKETING_SEARCH=deep HYPOTHESIS_PROFILE=money $(PYTHON) -m pytest payments tests/protocol tests/money tests/slow tests/api/test_schemathesis.py gateway/tests/test_looks.py libs/tests/test_broker_trouble.py --timeout 3600

bench: venv ## Measure everything (15 minutes) and write docs/performance.md, or only measure some rows (ROWS=list,ticket)
	@$(PYTHON) -m dev.stack install
	@$(PYTHON) -W ignore -m dev.bench $(ROWS)

check: venv ## Check style and types, manifests, workflows and alerts
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q -n 0 tests/test_kubernetes.py
	$(PYTHON) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/zizmor --offline --quiet .github/workflows
	@command -v promtool >/dev/null || dev/stack/apt-install prometheus
	promtool check rules deploy/monitoring/rules/*.yml
	promtool test rules deploy/monitoring/tests/*.yml

format: venv ## Format the code and fix what can be fixed automatically
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

lock: venv ## Lock the versions in requirements*.in with their hashes
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements.in requirements-dev.in --output-file requirements-dev.txt
	$(LOCK) requirements-build.in --output-file requirements-build.txt
	$(LOCK) requirements-audit.in --output-file requirements-audit.txt
	$(LOCK) requirements-env.in --output-file requirements-env.txt
	$(LOCK) requirements-operator.in --output-file requirements-operator.txt
	$(LOCK) requirements-bench.in --output-file requirements-bench.txt

sbom: venv $(AUDIT)/ready ## Write .stack/sbom.json (CycloneDX) and .stack/licences.md: the packages in production
	@$(AUDIT)/bin/python -W ignore -m cyclonedx_py requirements requirements.txt --pyproject pyproject.toml --output-reproducible --output-file .stack/sbom.json
	@$(PYTHON) -m dev.sbom .stack/sbom.json .stack/licences.md

audit: venv $(AUDIT)/ready ## Look the locked packages up in PyPI's advisories (needs pypi.org)
	@$(AUDIT)/bin/pip-audit --require-hashes --disable-pip --format json --progress-spinner off -r requirements.txt | $(PYTHON) -m dev.audit

$(AUDIT)/ready $(BENCH)/ready: .stack/%/ready: requirements-%.txt
	@$(PYTHON) -m venv --clear .stack/$*
	@.stack/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r $<
	@touch $@

pin: venv ## Pin images to digests and actions to commits (needs Docker and the registries)
	@$(PYTHON) -m dev.pin_images

clean: stop ## Stop the system; delete its data, the virtual environment and caches
	rm -rf .stack .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
