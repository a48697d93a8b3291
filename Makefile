# airgap-check: everything a person or a machine does with this checkout.

VENV = .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check install --quiet
RUNTIME = $(VENV)/.installed
DEVELOPMENT = $(VENV)/.installed-development

.DEFAULT_GOAL = help
.PHONY: help audit test lint types docs check-docs bench wheel clean debian
.SUFFIXES:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r target text; do printf '  make %-8s %s\n' "$$target" "$$text"; done

audit: $(RUNTIME) ## install into .venv, audit this host, say what the exit code means
	@code=0; $(VENV)/bin/airgap-check audit || code=$$?; \
	case $$code in \
	0) meaning="compliant: everything that was seen is approved" ;; \
	1) meaning="NOT compliant: the findings above say why, and how to fix it" ;; \
	4) meaning="inconclusive: something could not be seen or nobody approved the list; see the reasons above" ;; \
	*) meaning="the audit did not run" ;; \
	esac; \
	printf '\nexit code %s: %s\n' "$$code" "$$meaning"; \
	[ "$$(id -u)" = 0 ] || echo "You are not root: for the whole host run  sudo $(VENV)/bin/airgap-check audit"; \
	case $$code in 0|1|4) exit 0 ;; *) exit "$$code" ;; esac

# Three at a time: the live tests wait more than they work. Without root they are skipped, and what they cover would
# fall below the gate.
test: debian lint types check-docs ## install what the tests need; lint, types, all tests with their coverage
	@$(PY) -m pytest --numprocesses=3 --dist=worksteal --cov --cov-report=term $$([ "$$(id -u)" = 0 ] || echo --cov-fail-under=0)

lint: $(DEVELOPMENT) ## ruff: rules and format
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

types: $(DEVELOPMENT) ## mypy --strict
	@$(PY) -m mypy --strict

docs: $(DEVELOPMENT) ## write the generated documentation anew
	@$(PY) -m tests.generate_docs

check-docs: $(DEVELOPMENT)
	@$(PY) -m tests.generate_docs --check

bench: debian $(DEVELOPMENT) ## measure against ss, lsof and psutil, in namespaces of its own (root)
	@$(PY) -m bench

wheel: $(DEVELOPMENT) ## build dist/airgap_check-*.whl
	@$(PY) -m build --wheel --outdir dist .

clean: ## remove everything that the other targets made
	rm -rf $(VENV) dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find airgap_check tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

debian:
	@tests/provision.sh debian

$(PY):
	@tests/provision.sh venv $(VENV)

$(RUNTIME): $(PY) pyproject.toml
	@echo "installing airgap-check into $(VENV)"
	@$(PIP) --editable .
	@touch $@

# Dependency groups need pip 25.1; Debian 12 brings 23.0.
$(DEVELOPMENT): $(PY) pyproject.toml
	@echo "installing airgap-check and what its tests need into $(VENV)"
	@$(PIP) --upgrade 'pip>=25.1'
	@$(PIP) --editable . --group dev
	@touch $@ $(RUNTIME)
