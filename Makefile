# What people do with this repository. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test kill-test check bench services-up services-down

CARGO := cargo
# Tests need the fault points, which no shipped binary has.
FAULTS := --features dataflow/fault-points
# Servers that the tests need; dev/services/README.md lists all there are.
SERVICES ?= kafka postgres

help:
	@echo "make demo [ARGS=--exit]  build, then show a pipeline at work on http://127.0.0.1:8080"
	@echo "make test                all tests, with real servers started and stopped around them"
	@echo "make kill-test [N=20]    kill a node at every fault point N times, prove each record; goes on where it was"
	@echo "make check               all that CI checks: test, format, lints, docs, licences"
	@echo "make bench               decoder and journal, in release"
	@echo "make services-up         start real servers and leave them up (SERVICES=\"$(SERVICES)\")"
	@echo "make services-down       stop them"

demo:
	@dev/setup.sh build
	$(CARGO) build --release -p dataflow --locked
	@target="$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"; \
	exec "$$target/release/dataflow" demo $(ARGS)

test:
	@dev/setup.sh build services
	@dev/with-services.sh $(SERVICES) -- $(CARGO) test --workspace --locked $(FAULTS)

# Trials of each fault point, and of random moments.
N ?= 20
RANDOM_KILLS ?= $(shell expr $(N) \* 5)
kill-test:
	@dev/setup.sh build services
	$(CARGO) build --release --locked -p dataflow -p dataflow-testkit $(FAULTS),dataflow-testkit/harness
	@target="$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"; \
	dev/with-services.sh $(SERVICES) -- "$$target/release/kill-test" --program "$$target/release/dataflow" \
		--folder "$$target/kill-test" --kills $(N) --random $(RANDOM_KILLS) $(ARGS)

check:
	@dev/setup.sh build services
	$(CARGO) fmt --all --check
	dev/audit.sh
	$(CARGO) clippy --workspace --all-targets --locked $(FAULTS) -- -D warnings
	$(CARGO) clippy -p dataflow --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@dev/with-services.sh $(SERVICES) -- $(CARGO) test --workspace --locked $(FAULTS)

bench:
	@dev/setup.sh build
	$(CARGO) run --release --locked -p dataflow-formats --example decode_speed
	$(CARGO) run --release --locked -p dataflow-journal --features testing --example throughput

services-up:
	@dev/setup.sh services
	dev/services/services.sh up $(SERVICES)

services-down:
	dev/services/services.sh down $(SERVICES)
