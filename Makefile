# Every target installs what it needs and works right after a clone.
# CARGO_TARGET_DIR and OPGATE_CORPORA are honoured where they are set.

CARGO ?= cargo

.PHONY: demo test oracle soak grpc-soak revocation handover backends slow fuzz bench bench-check bench-accept bench-peers release-pgo package package-test \
  reproducible image chart day lint advisories check dashboard clean cmake

demo: cmake          ## watch cancels being allowed and refused, in front of a backend that runs operations
	@# Both programs: the demo starts the one that is the product. Cargo shows what it builds.
	$(CARGO) build --locked --bins
	@$(CARGO) run --quiet --locked --bin opgate-dev -- demo $(DEMO_ARGS)

test: cmake          ## every test: units, properties, the real binary over real sockets
	$(CARGO) test --locked

oracle: cmake        ## a million decisions of random policies, by the engine and by the naive evaluator
	PROPTEST_CASES=6100 $(CARGO) test --locked --lib oracle -- --nocapture

soak: cmake          ## a minute of requests under reloads every 100 ms
	OPGATE_SOAK=60 $(CARGO) test --locked --test it -- --nocapture a_reload_every_100_ms

GRPC_SOAK_SECONDS ?= 60
grpc-soak: cmake     ## a minute of streams of gRPC, a thousand at a time, of each kind; or GRPC_SOAK_SECONDS
	OPGATE_GRPC_SOAK=$(GRPC_SOAK_SECONDS) OPGATE_GRPC_STREAMS=1000 \
	  $(CARGO) test --locked --profile soak --test it -- --nocapture a_thousand_streams_of_each_kind

revocation: cmake    ## how long a revocation takes while other things go wrong, with 100,000 bindings and with 5,000 files
	OPGATE_REVOCATION_BINDINGS=100000 OPGATE_REVOCATION_FILES=5000 \
	  $(CARGO) test --locked --profile soak --test it -- --nocapture a_revocation_is_in_force_soon

HANDOVER_REQUESTS ?= 1000000
HANDOVER_EVENTS ?= 100
handover: cmake      ## a million requests over a hundred reloads, upgrades and drains: none lost, none forwarded twice
	OPGATE_HANDOVER_REQUESTS=$(HANDOVER_REQUESTS) OPGATE_HANDOVER_EVENTS=$(HANDOVER_EVENTS) \
	  $(CARGO) test --locked --profile soak --test it -- --nocapture no_request_is_lost_or_doubled

BACKENDS_SECONDS ?= 3600
BACKENDS_SEED ?= $(shell date +%s)
backends: cmake      ## an hour of requests of all kinds to real backends: what runs is what was judged; or BACKENDS_SECONDS
	@./.ci/install-backends
	OPGATE_BACKENDS_SECONDS=$(BACKENDS_SECONDS) OPGATE_BACKENDS_SEED=$(BACKENDS_SEED) \
	  $(CARGO) test --locked --profile soak --test it -- --nocapture the_method_that_is_judged_is_the_method_that_runs

slow: cmake          ## a thousand slow clients of each kind (slowhttptest), and one that must not be affected
	@command -v slowhttptest >/dev/null || ./.ci/install-slowhttptest
	OPGATE_SLOW=1000 $(CARGO) test --locked --test it -- --nocapture a_thousand_slow_clients

FUZZ_SECONDS ?= 600
fuzz: cmake          ## every fuzz target for ten minutes, or FUZZ_SECONDS
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	@for target in proxy_header head chunked answer exchange path template token proof jwks cel document operation message; do \
	  echo "== $$target"; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 || exit 1; \
	done

# One profile for all: counts of two profiles cannot be compared. `soak` builds in a fraction of a release's time.
BENCH_PROFILE ?= soak
BENCH = $(CARGO) bench --quiet --locked --profile $(BENCH_PROFILE) --bench bench --

bench: cmake         ## measure what is promised: decisions, the whole gate, a million grants; count instructions and system calls
	$(BENCH) $(BENCH_ARGS)

bench-check: cmake   ## fail where a stage or an exchange costs more than benches/budget.yaml allows
	@./.ci/install-bench
	$(BENCH) check

bench-accept: cmake  ## make what is counted now the budget
	@./.ci/install-bench
	$(BENCH) accept

TARGET = $(or $(CARGO_TARGET_DIR),target)
PEERS_TARGET = $(TARGET)/peers
bench-peers: cmake   ## opgate beside bare Pingora, HAProxy, nginx and Envoy, in one run (benches/peers/README.md)
	@./.ci/install-peers
	$(CARGO) build --quiet --locked --release --bin opgate
	$(CARGO) build --quiet --locked --release --manifest-path benches/peers/Cargo.toml --target-dir $(PEERS_TARGET)
	python3 -B benches/peers/run.py $(if $(BENCH_TO),--to $(BENCH_TO)) $(BENCH_ARGS)

HOST = $(shell rustc -vV | sed -n 's/^host: //p')
PGO = $(abspath $(or $(CARGO_TARGET_DIR),target))/pgo
PGO_SECONDS ?= 2
release-pgo: cmake   ## a release that is optimised for the jobs of bench-peers, in target/pgo/use/*/release/opgate: two builds
	@# The target is named, so that build scripts and macros are built without it.
	rm -rf $(PGO)/profile
	RUSTFLAGS="-Cprofile-generate=$(PGO)/profile" \
	  $(CARGO) build --locked --release --bin opgate --target $(HOST) --target-dir $(PGO)/train
	$(CARGO) build --quiet --locked --release --manifest-path benches/peers/Cargo.toml --target-dir $(PEERS_TARGET)
	python3 -B benches/peers/train.py --opgate $(PGO)/train/$(HOST)/release/opgate --programs $(PEERS_TARGET)/release \
	  --directory $(PGO)/run --profile $(PGO)/profile --seconds $(PGO_SECONDS)
	"$$(./.ci/install-llvm-profdata)" merge -o $(PGO)/opgate.profdata $(PGO)/profile/*.profraw
	RUSTFLAGS="-Cprofile-use=$(PGO)/opgate.profdata" \
	  $(CARGO) build --locked --release --bin opgate --target $(HOST) --target-dir $(PGO)/use

package: cmake       ## the Debian package, in target/debian
	@./.ci/install-package-tools debian cargo-cyclonedx
	./packaging/release
	./packaging/sbom
	./packaging/debian/build

# What the tests of packages pack: `make package-test PROGRAM=target/release/opgate` for what is shipped.
PROGRAM ?= $(TARGET)/debug/opgate
package-test: cmake  ## the package under systemd: installed, upgraded under load, purged (needs root)
	@./.ci/install-package-tools debian cargo-cyclonedx
	$(CARGO) build --locked --bins
	./packaging/sbom
	python3 -B packaging/tests/package.py $(PROGRAM)

image: cmake         ## the steps of the Dockerfile without a daemon, the image's files, and the image at work (needs root)
	@./.ci/install-package-tools debian
	$(CARGO) build --locked --bins
	python3 -B packaging/tests/image.py $(PROGRAM)

CHART_VENV = $(TARGET)/package-test/venv
chart: cmake         ## the Helm chart: linted, rendered, checked by Kubernetes' schemas, and a gate that runs with it
	@./.ci/install-package-tools debian
	@test -x $(CHART_VENV)/bin/pip || python3 -m venv $(CHART_VENV)
	@$(CHART_VENV)/bin/pip install --quiet --disable-pip-version-check -r packaging/tests/requirements.txt
	$(CARGO) build --locked --bins
	$(CHART_VENV)/bin/python -B packaging/tests/chart.py $(PROGRAM)

DAY_REQUESTS ?= 20000
day: cmake           ## a day in the life, under load: every event an operator knows, and no request lost (needs root)
	@./.ci/install-package-tools debian
	$(CARGO) build --locked --bins
	OPGATE_DAY_REQUESTS=$(DAY_REQUESTS) python3 -B packaging/tests/day.py $(PROGRAM)

reproducible: cmake  ## two release builds of this commit in two directories: they must have the same bytes
	./packaging/tests/reproducible

lint: cmake          ## format, clippy, docs, the shipped configuration
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	@./.ci/install-package-tools cargo-deny
	$(CARGO) deny --log-level error check licenses bans sources

advisories: cmake    ## known weaknesses of dependencies, by RustSec's database, where it can be fetched
	@./.ci/install-package-tools cargo-deny
	@if $(CARGO) deny --log-level off fetch db; then $(CARGO) deny check advisories; \
	 else echo "the database of advisories cannot be fetched from here: dependencies are not compared with it"; fi

check: cmake         ## load the shipped configuration and policies
	$(CARGO) run --quiet --locked -- check --config config/opgate.yaml
	$(CARGO) run --quiet --locked -- check --config config/demo.yaml

dashboard:           ## make config/mixin/dashboards/opgate.json from its source
	python3 config/mixin/dashboard/build.py

clean:
	$(CARGO) clean

# zlib-ng is built with cmake.
cmake:
	@command -v cmake >/dev/null || ./.ci/install-cmake
