#!/usr/bin/env bash
# make test: everything, stage by stage, and at the end each runner's own count. Logs stay in
# build/test-logs. The first stage that fails ends it.
. "$(dirname "$0")/common.sh"

LOGS="$ROOT/build/test-logs"
rm -rf "$LOGS"
mkdir -p "$LOGS"
cd "$ROOT"
summary=()
passed=0
failed=0

# tally COUNT: adds what a runner's own count says to the totals.
tally() {
  if [[ $1 =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
    failed=$((failed + BASH_REMATCH[1]))
    passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1]))
  else
    if [[ $1 =~ ([0-9]+)\ passed ]]; then passed=$((passed + BASH_REMATCH[1])); fi
    if [[ $1 =~ ([0-9]+)\ failed ]]; then failed=$((failed + BASH_REMATCH[1])); fi
  fi
}

finish() {
  local line
  say ""
  say "${BOLD}summary${RESET} ($(elapsed))"
  for line in "${summary[@]}"; do say "  $line"; done
  say "$passed passed, $failed failed"
}

# stage NAME PATTERN COMMAND...: runs it with a line of progress now and then. The last line of its
# output that matches PATTERN goes into the summary.
stage() {
  local name=$1 pattern=$2 log="$LOGS/${1// /-}.log" begin=$SECONDS last=$SECONDS status=0 count
  shift 2
  say "${CYAN}$(elapsed)${RESET} ${BOLD}$name${RESET}"
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - last >= 20)); then
      last=$SECONDS
      say "${DIM}$(elapsed)   $(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)${RESET}"
    fi
  done
  wait "$pid" || status=$?
  count=$(grep -E "$pattern" "$log" | tail -n 1 | sed -E 's/^[= ]+//; s/[= ]+$//' || true)
  tally "$count"
  if [ "$status" -ne 0 ]; then
    tail -n 80 "$log"
    summary+=("${RED}FAILED${RESET} $name: ${count:-see ${log#"$ROOT"/}}")
    finish
    exit 1
  fi
  if [ "$pattern" != none ]; then summary+=("$name: ${count:-no count found}"); fi
  say "${DIM}$(elapsed)   done in $((SECONDS - begin)) s  $([ "$pattern" = none ] || say "$count")${RESET}"
}

if [ -e /dev/nvidia0 ] || command -v nvidia-smi >/dev/null; then
  say "A GPU is here; nothing in this suite uses it."
else
  say "No GPU here; nothing in this suite needs one."
fi

CTEST='tests (passed|failed)'
PYTEST='[0-9]+ (passed|failed|error)'

stage "set up" none scripts/setup.sh mpi
# torch comes while the compiler works.
scripts/setup.sh test >"$LOGS/set-up-torch.log" 2>&1 </dev/null &
torch_pid=$!

stage "build release" none build_preset release -DDCP_MPI=ON -DDCP_TORCH=OFF
stage "ctest release" "$CTEST" run_ctest release -E '^(python|cli)$' -LE instructions
stage "pytest dcpctl" "$PYTEST" "${SIGNALS[@]}" build/venv/bin/python -m pytest -q -p no:cacheprovider tests/cli
stage "pytest Python package" "$PYTEST" \
  "${SIGNALS[@]}" "DCP_PYTHON_DIR=$ROOT/build/release/python" \
  build/venv/bin/python -m pytest -q -p no:cacheprovider bindings/python/tests

stage "build ASan + UBSan" none build_preset asan -DDCP_BUILD_CLI=OFF
export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
stage "ctest ASan + UBSan" "$CTEST" run_ctest asan

stage "build TSan" none build_tsan
stage "ctest TSan" "$CTEST" ctest_tsan

wait_for_torch() {
  wait "$torch_pid" || { tail -n 40 "$LOGS/set-up-torch.log"; return 1; }
}
say "${CYAN}$(elapsed)${RESET} ${BOLD}torch 2.15${RESET}"
if ! wait_for_torch; then
  summary+=("${RED}FAILED${RESET} set up torch 2.15: see build/test-logs/set-up-torch.log")
  finish
  exit 1
fi
if [ -x "$TORCH" ]; then
  stage "build libdcp_torch" none build_release_with_torch
  stage "ctest libdcp_torch" "$CTEST" run_ctest release -L '^torch$'
  stage "live exchange with torch 2.15" "$PYTEST" \
    "${SIGNALS[@]}" "PYTHONPATH=$ROOT/build/release/python" "$TORCH" -m pytest -q -p no:cacheprovider tests/exchange
  stage "libdcp.torch with torch 2.15" "$PYTEST" \
    "${SIGNALS[@]}" "PYTHONPATH=$ROOT/build/release/python" "$TORCH" -m pytest -q -p no:cacheprovider tests/drop_in
else
  summary+=("libdcp_torch, live exchange with torch 2.15: NOT RUN, they need Python 3.11 or later")
fi
# Valgrind came with torch.
stage "instruction counts" "$CTEST" run_ctest release -L instructions
grep -E 'ratio|NOT RUN' build/release/Testing/Temporary/LastTest.log | sed 's/^/    /' || true
# At least a fiftieth of what make soak runs, with a fresh seed.
stage "a fiftieth of make soak" '^soak: ' build/venv/bin/python scripts/soak.py --fiftieth
grep -E '^(seed|step)' "$LOGS/a-fiftieth-of-make-soak.log" | sed 's/^/    /' || true
say "${GREEN}all passed${RESET}"
finish
