# Everything a user or a developer needs. `make help` lists it.
# Nothing but Linux, Python >= 3.11, make and a package index is needed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
KAFKA  ?= embedded
RUNS   ?= 3

.DEFAULT_GOAL := help
.PHONY: help install demo up audit replay test test-kafka chaos bench check format clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make the virtual environment and install what is pinned

$(VENV)/.installed: requirements/base.txt requirements/embedded.txt requirements/dev.txt requirements/constraints.txt
	@echo "Installing into $(VENV) (once; takes about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

demo: install ## Start everything, play both walk-throughs, check every balance, stop
	@$(BIN)/python -m exchange.stack demo --kafka $(KAFKA)

up: install ## Start everything in the foreground until Ctrl-C (KAFKA=apache for Apache Kafka)
	@$(BIN)/python -m exchange.stack up --kafka $(KAFKA)

audit: install ## Prove the books of the running exchange (OPTIONS=… as for manage.py audit)
	@$(BIN)/python manage.py audit $(OPTIONS)

replay: install ## Replay the log of the running exchange, compare it with what is settled (OPTIONS=…)
	@$(BIN)/python manage.py replay $(OPTIONS)

test: install ## All tests, on embedded servers, in two processes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-kafka: install ## The tests of the whole path on Apache Kafka itself (needs Java and Maven)
	@$(BIN)/python -m pytest tests/integration/pipeline tests/integration/replay tests/e2e tests/chaos \
		--kafka apache -n 2 --dist loadfile --no-loadscope-reorder

chaos: install ## Inject each fault 20 times under load and account for every order (KAFKA=apache)
	@$(BIN)/python -m tests.chaos --times 20 --kafka $(KAFKA)

bench: $(VENV)/.installed-bench ## Measure, each figure beside a ceiling of the same run (PARTS="engine read", RUNS=3, PLOTS=DIR)
	@$(BIN)/python -m benchmarks $(PARTS) --runs $(RUNS) --kafka $(KAFKA) --json .local/bench.json $(if $(PLOTS),--plots $(PLOTS))

$(VENV)/.installed-bench: $(VENV)/.installed requirements/bench.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bench.txt
	@mkdir -p .local
	@touch $@

check: install ## Lint, format, types, migrations, Django's system checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py check

format: install ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## Remove the virtual environment and all local data
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis
