# Every target does its own set-up on a fresh Debian 12 machine (git, make, Node >= 20 and Go >= 1.25 must be there).
# `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help speak test check build native native-asan wasm wasi web guest lint serve parity soak-serve bench-serve full reference reference-starter sample evaluate retrain-check bench clean

PORT ?= 8080
TEXT ?= The quick brown fox jumps over the lazy dog.
HOST ?= native
# Building takes the memory of a few compilers at most.
JOBS ?= $(shell nproc)
comma := ,
GO ?= $(shell command -v go || echo /usr/local/go/bin/go)
export GO
# Handed on as it was typed: the text may hold quotes, dollars and backquotes.
export SPOKEN_TEXT := $(value TEXT)

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 25

speak: web ## Speak TEXT="..." through Node and through Go (wazero): hello.wav, both hashes, speed
	scripts/speak.sh "$$SPOKEN_TEXT"

test: ## All tests: native (with sanitizers), Node, Go, browsers, parity with the reference's goldens; SECTION="node go": only these
	@JOBS=$(JOBS) scripts/test.sh $(SECTION)

check: ## What has to hold before a change lands: all tests and lint
	@JOBS=$(JOBS) scripts/test.sh --lint

.PHONY: fuzz
fuzz: ## Slow: every fuzz target of the Go module, FUZZTIME=5m each, with a report (docs/fuzz.md)
	scripts/fuzz-go.sh

build: native wasm wasi web ## Everything that can be built

native: setup ## The native library, its tests and tools (build/native)
native-asan: setup ## The same with sanitizers (build/native-asan)
wasm: setup ## The module for browsers and Node (build/wasm)
wasi: setup ## The module for Go (build/wasi)
native native-asan wasm wasi:
	@cmake --preset $@ > build/$@.log || { cat build/$@.log; exit 1; }
	@cmake --build --preset $@ -j $(JOBS)

.PHONY: capi
capi: native ## The C library (build/native/libpocket_tts.so), its example, and their tests
	scripts/capi.sh

guest: wasi ## Put the built module for Go in its place (commit it with the change that made it)
	cp build/wasi/pocket_tts.wasm wasi/internal/guest/pocket_tts.wasm

web: wasm ## The npm package (dist)
	@$(MAKE) --no-print-directory dist/.ok

dist/.ok: node_modules/.ok package.json tsconfig.json $(wildcard web/*) models/starter/pack.json build/wasm/pocket_tts.wasm
	npm run --silent build
	touch $@

node_modules/.ok: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: setup
setup:
	@mkdir -p build
	scripts/setup.sh

serve: web ## The demo and the reader, on this machine: [PORT=8080]
	npm run --silent build:pages
	node web/pages/serve.mjs --port $(PORT)

lint: web ## Formatting, static analysis, all systems, licences and known holes of C++, TypeScript and Go
	scripts/lint.sh

parity: web native ## Every check of the reference's fixtures: DIR=<folder> [HOST=native|node|go]
	@test -n "$(DIR)" || { echo 'make parity DIR=<folder> [HOST=native|node|go]' >&2; exit 2; }
	node tests/parity/parity.mjs --host $(HOST) $(DIR)

soak-serve: setup ## Slow: 64 clients ask four doors for five minutes: docs/serve.md is what was heard, and what is left afterwards
	cd wasi && $(GO) test ./server -count=1 -run TestManyClients -v -timeout 10m -args -soak 5m -report ../../docs/serve.md

bench-serve: setup ## First sound (p50, p99) and speed of 64 clients at once, two instances, starter voice
	cd wasi && $(GO) test ./server -count=1 -run TestSpeed -v -args -bench-serve 30s

full: web ## Slow: parity and peak memory of a full-size fixture made by `make reference`: DIR=<folder>
	@test -n "$(DIR)" || { echo 'make full DIR=<folder>' >&2; exit 2; }
	cd wasi && $(GO) build -o ../build/pocket-tts ./cmd/pocket-tts
	for host in node go; do node tests/parity/parity.mjs --quiet --host $$host $(DIR); done
	for precision in f32 q8; do node tests/full_size.mjs $(DIR) --precision $$precision; done

reference: ## Install the Python reference (several GB) and record fresh fixtures: OUT=<folder> [ARGS=...]
	tests/reference/make_reference.sh "$(OUT)" $(ARGS)

reference-starter: web ## The Python reference loads the starter voice and must say the same (REFERENCE_PYTHON=...: an installed one)
	python=$$(tests/reference/install.sh) && $$python tests/reference/check_starter.py

sample: web ## The WAV that the README links (docs/audio), as the command line says it
	scripts/sample.sh

evaluate: web ## Measure the starter voice: models/starter/REPORT.md (names the Debian packages it needs)
	models/starter/evaluate/run.sh

retrain-check: ## Ten minutes of training from nothing must give the first points of the recorded curve (Python reference, Debian texts)
	models/starter/training/check.sh

bench: web native ## Side by side with PyTorch and onnxruntime: [JSON=out.json] [REPORT=docs/benchmarks.md] [ONLY=host,...] [PACK=100m,...]
	tests/bench/setup.sh $(subst $(comma), ,$(PACK))
	node tests/bench/bench.mjs --json "$(JSON)" --report "$(REPORT)" --only "$(ONLY)" --pack "$(PACK)" --precision "$(PRECISION)" --rounds "$(ROUNDS)" --all "$(ALL)" --grow "$(GROW)" --profile "$(PROFILE)"

clean: ## Remove what was built (the toolchain stays)
	rm -rf build dist node_modules
