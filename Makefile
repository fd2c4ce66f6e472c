# Every command of the project, written once: README.md and .ci/run call these targets.

PYTHON ?= python3
LOGDIR ?= runs
INTEROP_RUN ?= target/interop
SCREENSHOTS_RUN ?= target/screenshots/exp1
# What bench-peers measures: PEERS="--only epoch --rounds 1"; --help lists all.
PEERS ?=
# What `make fuzz` tries, and for how long.
PARSER ?= event_file
FUZZ_SECONDS ?= 600
SEEDS = 1 2 3
REFERENCE_RUNS = $(SEEDS:%=runs/default-%) runs/article
TENSORBOARD = .venv/bin/tensorboard
CLIPPY = cargo clippy --locked --workspace --all-targets
# What the logger alone may weigh: crates that it names, and crates in its tree (tensorboard-rs has 35).
MAX_DIRECT = 10
MAX_CRATES = 34
CARGO_DENY = 0.20.2

.DEFAULT_GOAL := help
.PHONY: help build tensorboard check crates audit test fuzz-replay fuzz faults test-browser test-aarch64 test-windows examples proto runs \
	interop recipes bench bench-peers bench-read screenshots clean .venv .venv-browser .venv-read \
	.venv-torch

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the program as users run it
	cargo build --release --locked

tensorboard: .venv ## open the pinned stock TensorBoard on LOGDIR (runs)
	$(TENSORBOARD) --logdir $(LOGDIR)

check: crates ## hold formatting, lints and docs to the standard
	cargo fmt --all --check
	$(CLIPPY) -- -D warnings
	$(CLIPPY) --features download -- -D warnings
	$(CLIPPY) --no-default-features -- -D warnings
	$(CLIPPY) --no-default-features --features cli -- -D warnings
	$(CLIPPY) --no-default-features --features candle -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

crates: ## count the crates of the logger alone
	@direct=$$(cargo tree --locked -p cnn-tb --no-default-features -e normal --depth 1 --prefix none | tail -n +2 | wc -l); \
	crates=$$(cargo tree --locked -p cnn-tb --no-default-features -e normal,build --prefix none | sed 's/ (.*//' | sort -u | tail -n +2 | wc -l); \
	echo "the logger names $$direct crates (at most $(MAX_DIRECT)) and builds $$crates (at most $(MAX_CRATES))"; \
	test $$direct -le $(MAX_DIRECT) && test $$crates -le $(MAX_CRATES)

test: .venv ## run all tests, the ones against stock TensorBoard included
	cargo test --locked --workspace
	cargo test --locked --features download --test download

fuzz-replay: ## try 100,000 damaged inputs on each parser, and compile the fuzz targets (about 2 min, and the first time the build)
	CNN_TB_FUZZ_CASES=100000 cargo test --locked --test fuzz
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz

# Needs cargo-fuzz, whose sanitizers are a nightly compiler's: the variable lets a stable one have them, too.
fuzz: ## let libFuzzer look for input that PARSER (event_file) fails on
	mkdir -p fuzz/corpus/$(PARSER)
	RUSTC_BOOTSTRAP=1 cargo fuzz run --target-dir target/fuzz $(PARSER) fuzz/corpus/$(PARSER) \
		tests/corpus/$(if $(filter doctor,$(PARSER)),event_file,$(PARSER)) -- -max_total_time=$(FUZZ_SECONDS)

faults: build .venv ## inject faults, kills and full disks among them, and say what was lost (about 7 min; FAULTS=logger)
	$(MAKE) fuzz-replay
	cargo build --release --locked --example faults
	CNN_TB_TENSORBOARD=$(TENSORBOARD) target/release/examples/faults target/release/cnn-tb $(FAULTS)

audit: ## hold licences and origins of the dependencies to deny.toml, and look for advisories (builds cargo-deny)
	cargo install --quiet --locked --root target/audit --version $(CARGO_DENY) cargo-deny
	target/audit/bin/cargo-deny --locked check licenses bans sources
	@target/audit/bin/cargo-deny fetch db || { \
		echo "the advisory database cannot be had: whether there are advisories is not known" >&2; \
		exit 1; }
	target/audit/bin/cargo-deny --locked --offline check advisories

test-browser: build .venv .venv-browser ## look at stock TensorBoard's first page in headless Chromium
	.venv-browser/bin/python -m unittest discover --verbose --start-directory tests/browser

# Needs rustup's target and, on Debian, gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu and qemu-user-static.
test-aarch64: ## run the unit tests and a training on NEON, in an emulator
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
	CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ \
		cargo test --locked --target aarch64-unknown-linux-gnu --lib --test instruction_sets

# Needs rustup's target and, on Debian, gcc-mingw-w64-x86-64, g++-mingw-w64-x86-64 and wine64.
test-windows: ## run the unit tests and a training as on Windows, under Wine
	CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine \
		cargo test --release --locked --target x86_64-pc-windows-gnu --lib --bins --test instruction_sets

# burn is built once for the example and for the peer in benches/, where their features agree.
examples: ## build the programs of examples/, burn's with burn itself (the first time about 5 min)
	cargo build --release --locked --examples
	cargo build --release --locked --manifest-path examples/burn/Cargo.toml --target-dir target/peers/burn

proto: ## generate src/tb/proto.rs from proto/
	CNN_TB_REGENERATE=1 cargo test --locked --no-default-features --test proto_fresh

runs: build ## train the reference runs in runs/ again, and write down what they reached
	@# The first one fills every page of TensorBoard; the others are for their curves.
	for seed in $(SEEDS); do \
		log=all; test $$seed = $(firstword $(SEEDS)) || log=epochs,batches,settings; \
		cargo run --release --locked --quiet -- train --seed $$seed --log $$log --logdir runs/default-$$seed --overwrite || exit; \
	done
	cargo run --release --locked --quiet -- train --preset article --log epochs,settings --logdir runs/article --overwrite
	@# The names of event files hold the machine's name and a process number, which say nothing here.
	for file in $(REFERENCE_RUNS:%=%/*tfevents*) $(REFERENCE_RUNS:%=%/*/*tfevents*); do \
		mv $$file $$(echo $$file | sed -E 's/(tfevents\.[0-9]+)\..*\.([0-9]+)$$/\1.localhost.1.\2/'); \
	done
	cargo run --release --locked --quiet -- compare $(REFERENCE_RUNS) > runs/reached.txt
	sed -e '/^```text$$/,/^```$$/{//!d}' -e '/^```text$$/r runs/reached.txt' runs/README.md > runs/README.new
	mv runs/README.new runs/README.md
	rm runs/reached.txt

interop: .venv-torch ## train a little, and compare our logits with PyTorch's
	cargo run --release --locked -- train --epochs 1 --logdir $(INTEROP_RUN) --overwrite --quiet
	cargo run --release --locked --example logits -- $(INTEROP_RUN)/weights.safetensors \
		| .venv-torch/bin/python tests/interop/logits.py $(INTEROP_RUN)/weights.safetensors

recipes: build .venv-torch ## what the recipes reach, the article's beside PyTorch (about 45 min; RECIPES="--only sprint")
	cargo build --release --locked --example initial_weights
	.venv-torch/bin/python benches/recipes/recipes.py target/release/cnn-tb \
		target/release/examples/initial_weights $(RECIPES)

# candle fixes at its start how many threads add gradients. Ours run with one, as in the program;
# candle's ops run with candle's own choice.
bench: ## time each op against candle's own, and candle's graph alone (a quiet machine, about 2 min)
	rm -rf target/criterion
	CANDLE_NUM_THREADS=1 cargo bench --locked --bench ops -- 'cnn-tb$$'
	cargo bench --locked --bench ops -- 'candle$$'
	$(PYTHON) benches/table.py target/criterion
	CANDLE_NUM_THREADS=1 cargo bench --locked --bench floor

bench-peers: build .venv-torch ## time trainings against PyTorch, burn and candle (a quiet machine, about 25 min)
	cargo build --profile bench --locked --example candle-peer
	cargo build --release --locked --package cnn-tb-mnist --example unpack
	cargo build --release --locked --manifest-path benches/peers/burn/Cargo.toml --target-dir target/peers/burn
	.venv-torch/bin/python benches/peers/peers.py $(PEERS)

bench-read: build .venv-read ## time the reader against TensorBoard's and tbparse (a quiet machine, about 3 min; READ=options)
	cargo build --release --locked --example read-peer
	.venv-read/bin/python benches/read/read.py target/release/examples/read-peer target/release/cnn-tb $(READ)

# The article's figures show the reference runs, whose 100 epochs are not trained again for a picture.
screenshots: build .venv .venv-browser ## train, and photograph every page of stock TensorBoard for docs/images
	rm -rf $(SCREENSHOTS_RUN)
	cargo run --release --locked --quiet -- train --quiet --logdir $(SCREENSHOTS_RUN)
	.venv-browser/bin/python tests/browser/screenshot.py $(TENSORBOARD) runs docs/images $(SCREENSHOTS_RUN)

clean: ## remove what was built, the virtual environments included
	cargo clean
	rm -rf .venv .venv-browser .venv-read .venv-torch

# A virtual environment is made again when its requirements change; the copy inside says which it has.
.venv: tests/requirements.txt
.venv-browser: tests/browser/requirements.txt
.venv-read: benches/read/requirements.txt
.venv-torch: tests/interop/requirements.txt
.venv .venv-browser .venv-read .venv-torch:
	@cmp -s $< $@/requirements.txt || { \
		$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' || { \
			echo "Python 3.11 or newer with its venv module is needed (on Debian: apt-get install python3-venv);"; \
			echo "another one than $(PYTHON) is named so: make $(MAKECMDGOALS) PYTHON=python3.12"; \
			exit 1; } >&2; \
		echo "installing $< into $@"; \
		rm -rf $@ && \
		$(PYTHON) -m venv $@ && \
		$@/bin/pip install --quiet --disable-pip-version-check --requirement $< && \
		cp $< $@/; }
