# Thin: each target is a script that can be read, and run by itself.
PREFIX ?= /usr/local

.PHONY: help build demo test bench bench-quick tsan soak fuzz lint install clean
help:
	@echo "make build    dcpctl, libdcp.so and the Python package, in build/release"
	@echo "make demo     what libdcp does, in two minutes"
	@echo "make test     every test, also under ASan + UBSan and TSan"
	@echo "make bench    speed and memory beside PyTorch's and the machine's limits; bench-quick in minutes"
	@echo "make tsan     the test programs under TSan"
	@echo "make soak     the long counts of the tests; can be interrupted and goes on"
	@echo "make fuzz     the fuzzers, FUZZ_RUNS runs each; can be interrupted and goes on"
	@echo "make lint     formatting, clang-tidy and the layers"
	@echo "make install  into PREFIX ($(PREFIX)); DESTDIR is honoured"
	@echo "make clean    removes the builds; build/venv and build/torch-* stay"

build:
	@scripts/build.sh
demo: build
	@scripts/demo.sh
test:
	@scripts/test.sh
bench:
	@scripts/bench.sh
bench-quick:
	@scripts/bench.sh --quick
tsan:
	@scripts/tsan.sh
soak:
	@scripts/soak.sh
fuzz:
	@scripts/fuzz.sh
lint:
	@scripts/lint.sh
install: build
	cmake --install build/release --prefix "$(PREFIX)"
clean:
	rm -rf build/release build/asan build/tsan build/fuzz build/dev build/clang build/lint
