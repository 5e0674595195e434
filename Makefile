# Everything there is to run. `make` alone lists it; CI calls nothing else.
# Tools that a target needs are fetched into .tools and .venv by scripts/setup.py, once.

PYTHON ?= python3
SETUP  := $(PYTHON) scripts/setup.py
VENV   := .venv/bin/python
WASM   := --target wasm32-wasip1
CONFIG ?= envoy/gateway.yaml

# Asked of cargo, and only when a recipe needs it, so that CARGO_TARGET_DIR and cargo's configuration count.
TARGET_DIR = $(shell cargo metadata --no-deps --format-version 1 | $(PYTHON) -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')

.DEFAULT_GOAL := help
.PHONY: help setup demo build build-dev render fmt lint lint-fmt lint-clippy lint-docs lint-deny test test-unit \
        test-wasm test-golden test-e2e instructions wasm-times soak-callers soak-identity soak-limits check bench clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Fetch every tool now, instead of when it is first needed
	@$(SETUP) all

demo: ## Start gateway and provider stand-ins, and take the guided tour (DEMO_EXIT=1: end after it)
	@$(PYTHON) scripts/demo.py

build: ## Build tollgate.wasm and the native command, optimised
	@$(SETUP) rust
	cargo build --release -p tollgate --lib $(WASM)
	cargo build --release -p tollgate --bin tollgate
	@ls -l "$(TARGET_DIR)/wasm32-wasip1/release/tollgate.wasm" "$(TARGET_DIR)/release/tollgate"

build-dev: build ## Build the provider stand-ins too, for demo, test-e2e and bench
	cargo build --release -p standin

render: build ## Rewrite envoy/envoy.yaml from envoy/gateway.yaml
	"$(TARGET_DIR)/release/tollgate" render envoy $(CONFIG) -o envoy/envoy.yaml

fmt: ## Format the sources
	cargo fmt --all

lint: lint-fmt lint-clippy lint-docs lint-deny ## Check format, clippy, docs and dependencies

lint-fmt:
	cargo fmt --all --check

lint-clippy:
	@$(SETUP) rust
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p tollgate --lib $(WASM) -- -D warnings
	cargo clippy -p tollgate --lib --target wasm32-unknown-unknown -- -D warnings

lint-docs:
	@$(SETUP) rust
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items
	RUSTDOCFLAGS=-Dwarnings cargo doc -p tollgate --lib --no-deps --document-private-items $(WASM)

lint-deny:
	@$(PYTHON) scripts/deny.py

test: test-unit test-golden test-wasm instructions test-e2e ## Run every ring of tests, and the guard of the hot path

test-unit: ## Unit tests beside the code, natively
	cargo test --workspace --lib --bins
	cargo test --workspace --doc

test-wasm: ## The same unit tests as WebAssembly in node; the core may import no host
	@$(PYTHON) scripts/wasm_ring.py

test-golden: ## tests/*.rs: golden translations, whole exchanges, house rules
	cargo test -p tollgate --test '*'

test-e2e: build-dev ## The real .wasm in a real Envoy, against provider stand-ins (ARGS= for pytest)
	@$(SETUP) venv envoy
	$(VENV) -m pytest tests/e2e $(ARGS)

instructions: ## Compare the cost of core operations with what is recorded (ARGS=--accept records it)
	@$(PYTHON) scripts/instructions.py $(if $(filter instructions,$(MAKECMDGOALS)),$(ARGS))

wasm-times: ## How long core operations take as WebAssembly, in V8
	@$(PYTHON) scripts/wasm_times.py

soak-callers: build-dev ## A million callers through the real Envoy: its memory stays bounded (ARGS="--callers N")
	@$(SETUP) venv envoy
	$(VENV) scripts/million_callers.py $(ARGS)

soak-limits: build-dev ## A crowd on one limit for five minutes: it holds (ARGS="--workers 4 --seconds 60")
	@$(SETUP) venv envoy
	$(VENV) scripts/soak_limits.py $(ARGS)

soak-identity: build-dev ## An issuer rotates its keys, and is away, under load, for SECONDS each (600)
	@$(SETUP) venv envoy
	-@$(SETUP) oidc-provider # without npm, its tests are skipped
	TOLLGATE_OUTAGE_SECONDS=$(or $(SECONDS),600) $(VENV) -m pytest -s \
		tests/e2e/test_identity.py tests/e2e/test_oidc_provider.py \
		-k 'rotate_under_load or issuer_is_down' $(ARGS)

check: lint test ## All that CI does

bench: build-dev ## Measure speed, memory and growth, side by side with Envoy (ARGS=--quick: a minute)
	@$(SETUP) envoy
	@$(PYTHON) scripts/bench.py $(ARGS)

clean: ## Remove what was built and run; .tools and .venv stay
	cargo clean
	rm -rf .run
