# Two commands matter: `make demo` and `make test`. Each installs what it needs, then does its work.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Debian keeps brokers in sbin, which ordinary users don't search.
export PATH := $(PATH):/usr/sbin:/sbin
# Hundreds of short processes start in the tests: none of them should have to compile what it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test hil web web-assets lint bench conformance faults fleet docs image lock yocto clean venv venv-fleet packages-demo packages-test packages-fleet

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: packages-demo venv ## Run the whole gateway against a simulated bottling plant (DEMO_SECONDS=30 stops by itself)
	@$(BIN)/tidegate demo

# A process for each processor, at most four: the tests of time want room, too. Those of a file stay together, with what
# they share. Where a test goes on for ever after its failure, since what tidies up hangs, nothing ends it, but it is said.
TEST_WORKERS ?= $(shell echo $$(($$(nproc) < 4 ? $$(nproc) : 4)))

test: packages-test venv toolbox lint ## Run every linter and every test (TEST_AGAIN=1 tries what failed once more, alone)
	@$(BIN)/pytest -q -n $(TEST_WORKERS) --dist loadfile -o faulthandler_timeout=240 || { \
	  [ $$? = 1 ] && [ -n "$(TEST_AGAIN)" ] || exit 1; \
	  echo 'what failed, once more and alone:'; \
	  $(BIN)/pytest -v --last-failed --last-failed-no-failures none --maxfail 3; }

lint: venv ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > build/imports.txt || { cat build/imports.txt; exit 1; }
	@! git grep -nE '^(<<<<<<<|>>>>>>>)( |$$)' || { echo 'a merge left its marks there: settle it'; exit 1; }

web: packages-test venv ## Look at every page with a real browser (TIDEGATE_PICTURES=1 writes docs/images)
	@$(BIN)/pytest -v tests/web

web-assets: packages-web ## Build the page's scripts and styles into gateway/web/static
	@cd gateway/web/frontend && ln -sfn $(WEB_CACHE)/frontend-$$(sha256sum < package-lock.json | cut -c1-16)/node_modules node_modules && npm run --silent build

bench: packages-demo venv ## Measure against the floor; writes build/bench.json
	@$(BIN)/python -m bench $(BENCH_ARGS)

conformance: packages-test venv ## Run the conformance suite over every driver
	@$(BIN)/pytest -v tests/conformance

faults: packages-test venv ## Run the fault tests: kills, cuts, full disks, refusing brokers
	@$(BIN)/pytest -v -m fault

fleet: packages-fleet venv venv-fleet ## Try the Ansible collection on simulated machines, over SSH (needs root; FLEET=tests/fleet/test_life.py)
	@mkdir -p build/fleet/ansible_collections/tidegate && ln -sfn ../../../../ansible build/fleet/ansible_collections/tidegate/fleet
	@cd ansible && ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/fleet PATH="$(CURDIR)/$(FLEET_BIN):$$PATH" ansible-lint -q
	@$(SUDO) env PATH="$(PATH)" tests/fleet/apart $(BIN)/pytest -v -m fleet $(or $(FLEET),tests/fleet)

# Root, since it mounts and changes owners. What is costly to make is kept per user, outside the checkout.
IMAGE_ENV := XDG_CACHE_HOME="$(or $(XDG_CACHE_HOME),$(HOME)/.cache)"
image: packages-image venv ## Build the appliance's image and its update bundle in build/image, twice, and compare (IMAGE="check --variant rpi5")
	@$(SUDO) env $(IMAGE_ENV) $(foreach name,SOURCE_DATE_EPOCH TIDEGATE_SIGNING_KEY TIDEGATE_SIGNING_CERTIFICATE TIDEGATE_KEYRING,$(if $($(name)),$(name)="$($(name))")) $(BIN)/python -m image $(or $(IMAGE),check)

# In order, since the modules tell one box's life. Root for a network of its own, which the emulated board has.
hil: packages-hil venv $(if $(filter-out local,$(BENCH)),venv-fleet) ## Try a whole box on a bench: BENCH=local, qemu (the image that make image built) or a file
	@$(if $(filter qemu,$(BENCH)),$(SUDO) env $(IMAGE_ENV) )$(BIN)/pytest -v hil/tests --bench=$(or $(BENCH),local)

docs: venv ## Regenerate what is generated: the references of configuration, commands and API, and the README parts
	@$(BIN)/python -m gateway.config.reference --write
	@$(BIN)/python -m gateway.cli.reference --write
	@$(BIN)/python -m gateway.control.reference --write
	@$(BIN)/python -m drivers.common.readme --write
	@$(BIN)/python ansible/reference.py --write

lock: venv ## Resolve pyproject.toml into requirements/*.lock, hashes and all
	@[ -x build/uv/bin/uv ] || { $(PYTHON) -m venv build/uv; build/uv/bin/pip install -q uv; }
	@compile="build/uv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml"; \
	$$compile -o requirements/runtime.lock; \
	$$compile --group test --group lint --group build -o requirements/dev.lock; \
	build/uv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group fleet -o requirements/fleet.lock

yocto: venv ## Make the Yocto layer's recipes of Python packages from requirements/runtime.lock
	@[ -x build/unearth/bin/unearth ] || { $(PYTHON) -m venv build/unearth; build/unearth/bin/pip install -q unearth; }
	@mkdir -p build/sdists; wanted=$$($(BIN)/python -m image.yocto); for each in $$wanted; do \
	  build/unearth/bin/unearth --no-binary --download build/sdists $$each >/dev/null; done
	@$(BIN)/python -m image.yocto build/sdists

clean: ## Remove what was built or installed here
	@rm -rf $(VENV) $(FLEET_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# --- what the targets above need -----------------------------------------------------------------------------

STAMP = $(VENV)/.installed-$(shell { cat requirements/dev.lock; sed -n "/^\[project/,/^\[dependency/p;/^\[tool.hatch/,/^\[tool.ruff/p" pyproject.toml; } | sha256sum | cut -c1-16)

venv: packages-python
	@mkdir -p build
	@[ -e $(STAMP) ] || { \
	  echo "installing Python packages into $(VENV)"; \
	  $(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit(f"Tidegate needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}: choose another with PYTHON=python3.11")'; \
	  $(PYTHON) -m venv --clear $(VENV); \
	  $(BIN)/pip install -q --disable-pip-version-check --use-pep517 --require-hashes -r requirements/dev.lock; \
	  $(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	  touch $(STAMP); }

# What a control machine has, and ansible-lint; apart from the rest, which needs none of it.
FLEET_VENV := .venv-fleet
FLEET_BIN := $(FLEET_VENV)/bin
FLEET_STAMP = $(FLEET_VENV)/.installed-$(shell sha256sum < requirements/fleet.lock | cut -c1-16)

venv-fleet: packages-python
	@[ -e $(FLEET_STAMP) ] || { \
	  echo "installing Ansible into $(FLEET_VENV)"; \
	  $(PYTHON) -m venv --clear $(FLEET_VENV); \
	  $(FLEET_BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/fleet.lock; \
	  touch $(FLEET_STAMP); }

# $(call need,what to test,Debian package ...): install packages where the test fails, without starting their services.
define need
	@{ $(1); } >/dev/null 2>&1 || { \
	  command -v apt-get >/dev/null || { echo "please install: $(2)" >&2; exit 1; }; \
	  echo "installing $(2)"; \
	  guard=/usr/sbin/policy-rc.d; \
	  [ -e $$guard ] || { printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$guard >/dev/null; $(SUDO) chmod +x $$guard; trap "$(SUDO) rm -f $$guard" EXIT; }; \
	  $(SUDO) apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(2) >/dev/null; }
endef

.PHONY: packages-python
packages-python:
	$(call need,$(PYTHON) -m ensurepip --version,python3 python3-venv)

packages-demo: packages-python
	$(call need,command -v mosquitto,mosquitto)

packages-fleet: packages-demo
	$(call need,command -v ssh && command -v sshd && command -v ip && command -v unshare,openssh-client openssh-server iproute2 util-linux)

.PHONY: packages-hil
packages-hil: packages-demo
	$(call need,command -v dnsmasq && command -v ip && command -v ssh && command -v sshd && command -v socat,dnsmasq-base iproute2 openssh-client openssh-server socat)

packages-test: packages-demo packages-peers packages-web packages-systemd
	$(call need,command -v socat && command -v strace && command -v mbpoll && command -v openssl && command -v ssh-keygen && command -v sfdisk,socat strace mbpoll openssl openssh-client fdisk)
	$(call need,ldconfig -p | grep libmodbus.so.5,libmodbus5)
	$(call need,command -v dbus-daemon && command -v dbus-send,dbus-daemon dbus-bin)

# RAUC, as a box has it: Debian 12 has an older one. It is among what images are built with.
.PHONY: toolbox
toolbox: packages-image venv
	@$(SUDO) env $(IMAGE_ENV) $(BIN)/python -m image toolbox >/dev/null

.PHONY: packages-image
packages-image:
	$(call need,command -v mmdebstrap && command -v arch-test && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ],mmdebstrap arch-test debian-archive-keyring)

# A whole Debian with systemd, which tests boot in namespaces of its own: tests/support/machine.py looks for it there. From
# where this machine has its own packages.
SYSTEMD_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/systemd
SYSTEMD_PACKAGES := systemd-sysv dbus python3
SYSTEMD_ROOT := $(SYSTEMD_CACHE)/trixie-$(shell echo $(SYSTEMD_PACKAGES) | tr ' ' +)

.PHONY: packages-systemd
packages-systemd:
	$(call need,command -v debootstrap && command -v nsenter,debootstrap util-linux)
	@[ -d $(SYSTEMD_ROOT) ] || { \
	  echo "making a Debian for the tests of the services"; \
	  mirror=$$(apt-get indextargets --format '$$(REPO_URI)' 'ShortDesc: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1); \
	  mkdir -p $(SYSTEMD_CACHE); \
	  fresh=$$(mktemp -d $(SYSTEMD_CACHE)/.root-XXXXXX); \
	  $(SUDO) debootstrap --variant=minbase --include=$$(echo $(SYSTEMD_PACKAGES) | tr " " ,) trixie $$fresh $$mirror > $(SYSTEMD_CACHE)/debootstrap.log || { $(SUDO) rm -rf $$fresh; exit 1; }; \
	  $(SUDO) rm -rf $$fresh/var/cache/apt/archives/*.deb; \
	  chmod 755 $$fresh; \
	  mv -T $$fresh $(SYSTEMD_ROOT) 2>/dev/null || $(SUDO) rm -rf $$fresh; }

# What comes from npm: what a lock file names is installed once per user, outside the checkout and without running any
# package's scripts. $(call npm,folder with the lock,name,cache,what it is for).
define npm
	@mkdir -p $(3); \
	home=$(3)/$(2)-$$(sha256sum < $(1)/package-lock.json | cut -c1-16); \
	[ -d $$home ] || { \
	  echo "installing the npm packages of $(4)"; \
	  fresh=$$(mktemp -d $(3)/.$(2)-XXXXXX); \
	  cp $(1)/package.json $(1)/package-lock.json $$fresh; \
	  npm ci --prefix $$fresh --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null || { rm -rf $$fresh; exit 1; }; \
	  mv -T $$fresh $$home 2>/dev/null || rm -rf $$fresh; }
endef

# The page's build, and what its tests bring into the browser: tests/support/browser.py looks for it there.
WEB_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/web

.PHONY: packages-node packages-web
packages-node:
	$(call need,command -v node && command -v npm,nodejs npm)

packages-web: packages-node
	$(call need,command -v chromium,chromium)
	$(call npm,gateway/web/frontend,frontend,$(WEB_CACHE),the page's scripts)
	$(call npm,tests/web,tests,$(WEB_CACHE),the page's tests)

# Protocol peers: a folder each under tests/peers; tests/support/node.py looks for their packages there.
PEERS_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/peers
PEERS := $(notdir $(patsubst %/package-lock.json,%,$(wildcard tests/peers/*/package-lock.json)))

.PHONY: packages-peers $(PEERS:%=packages-peer-%)
packages-peers: $(PEERS:%=packages-peer-%)

$(PEERS:%=packages-peer-%): packages-peer-%: packages-node
	$(call npm,tests/peers/$*,$*,$(PEERS_CACHE),the $* peer)
