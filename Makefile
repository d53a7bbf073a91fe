# What people do with this repository. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-long kill-test check bench bench-dirty bench-micro bench-scale profile fuzz services-up services-down

CARGO := cargo
# Tests need the fault points, which no shipped binary has.
FAULTS := --features dataflow/fault-points
# Servers that the tests need; dev/services/README.md lists all there are.
SERVICES ?= kafka postgres mariadb elasticsearch opensearch minio azurite
# What `make bench-scale` measures.
PARTS ?= fleet latency stopped_sink soak

help:
	@echo "make demo [ARGS=--exit]  build, then show a pipeline at work on http://127.0.0.1:8080"
	@echo "make test                all tests, with real servers started and stopped around them"
	@echo "make test-long           tests that take minutes: zombies at every fault point, a Kafka that is restarted, a silent PostgreSQL"
	@echo "make kill-test [N=20]    kill a node at every fault point N times, prove each record; goes on where it was"
	@echo "make check               all that CI checks: test, format, lints, docs, licences"
	@echo "make bench [PASSES=3 PEERS=… WORKLOADS=…]  ours and other programs side by side, into docs/benchmarks.md"
	@echo "make bench-dirty         what bad records cost, in release, with a real PostgreSQL"
	@echo "make bench-micro         the hot parts by themselves, with criterion"
	@echo "make profile WORKLOAD=w1 a flame graph of a workload of \`make bench\`"
	@echo "make bench-scale         many pipelines, long times (PARTS=\"$(PARTS)\"); writes docs/benchmarks.md"
	@echo "make fuzz [TARGET=json SECONDS=600]  look for input that does harm; without TARGET each has its turn"
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

test-long:
	@dev/setup.sh build services
	@dev/with-services.sh $(SERVICES) -- $(CARGO) test --workspace --locked $(FAULTS) --tests -- --ignored

# Trials of each fault point, and of random moments.
N ?= 20
RANDOM_KILLS ?= $(shell expr $(N) \* 5)
kill-test:
	@dev/setup.sh build services
	$(CARGO) build --locked -p dataflow $(FAULTS) --bin dataflow --example kill-test
	@target="$$($(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"; \
	dev/with-services.sh $(SERVICES) -- "$$target/debug/examples/kill-test" --program "$$target/debug/dataflow" \
		--folder "$$target/kill-test" --kills $(N) --random $(RANDOM_KILLS) $(ARGS)

check:
	@dev/setup.sh build services
	$(CARGO) fmt --all --check
	dev/audit.sh
	$(CARGO) clippy --workspace --all-targets --locked $(FAULTS) -- -D warnings
	$(CARGO) clippy -p dataflow --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@dev/with-services.sh $(SERVICES) -- $(CARGO) test --workspace --locked $(FAULTS)
	dev/fuzz.sh run 5

# What the quick start builds is what is measured; PROFILE=dist measures what a release ships.
PROFILE ?= release
PROFILE_DIR = $(shell $(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$(PROFILE)
PROGRAMS = DATAFLOW=$(PROFILE_DIR)/dataflow THROUGHPUT=$(PROFILE_DIR)/examples/throughput

bench:
	@dev/setup.sh build services bench
	$(CARGO) build --profile $(PROFILE) --locked -p dataflow --bin dataflow
	$(CARGO) build --profile $(PROFILE) --locked -p dataflow-journal-sqlite --example throughput
	@dev/with-services.sh kafka postgres opensearch minio -- env $(PROGRAMS) BUILT_AS="profile $(PROFILE)" dev/bench/bench.sh

bench-micro:
	@dev/setup.sh build
	$(CARGO) bench --locked -p dataflow-formats -p dataflow-transforms -p dataflow-journal-sqlite \
	  --bench json --bench program --bench append

profile:
	@dev/setup.sh build services bench
	$(CARGO) build --profile $(PROFILE) --locked -p dataflow --bin dataflow
	@dev/with-services.sh kafka postgres -- env dev/bench/profile.sh "$(WORKLOAD)" $(PROFILE_DIR)/dataflow

bench-scale:
	@dev/setup.sh build services
	$(CARGO) build --release -p dataflow --locked
	@dev/with-services.sh kafka postgres -- dev/bench/scale/run.sh $(PARTS)

bench-dirty:
	@dev/setup.sh build services
	$(CARGO) build --release --locked -p dataflow
	@dev/with-services.sh postgres -- dev/bench/dirty.sh

fuzz: SECONDS := 600
fuzz:
	@dev/setup.sh build
	dev/fuzz.sh run $(SECONDS) $(TARGET)

services-up:
	@dev/setup.sh services
	dev/services/services.sh up $(SERVICES)

services-down:
	dev/services/services.sh down $(SERVICES)
