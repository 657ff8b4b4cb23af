#!/usr/bin/env bash
# make bench: libdcp measured beside its peers and the machine's limits (docs/benchmarks.md).
#   scripts/bench.sh [--quick | --self-test] [--gib N] [--rounds N] [--publish] [NAME...]
# --help tells the rest. It builds what it needs; peers go into build/bench-venv, which sees the
# packages of build/torch-2.15.
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/build.sh"
cmake --build "$ROOT/build/release" -j "$JOBS" --target bench_driver bench_planning bench_payload
"$ROOT/scripts/setup.sh" test

TORCH="$ROOT/build/torch-2.15/bin/python"
PEERS="$ROOT/build/bench-venv"
[ -x "$TORCH" ] || fail "the peers need torch 2.15, which needs Python 3.11 or later"

requirements="$ROOT/scripts/requirements-bench.txt"
stamp="$PEERS/.holds-$(sha256sum <"$requirements" | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  say "${CYAN}Installing${RESET} $(basename "$requirements") into ${PEERS#"$ROOT"/}"
  [ -x "$PEERS/bin/python" ] || "$TORCH" -m venv "$PEERS"
  packages='import sysconfig; print(sysconfig.get_path("purelib"))'
  "$TORCH" -c "$packages" >"$("$PEERS/bin/python" -c "$packages")/torch-2.15.pth"
  "$PEERS/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements"
  touch "$stamp"
fi

cd "$ROOT"
PYTHONPATH="$ROOT/bench" exec "$PEERS/bin/python" -m harness "$@"
