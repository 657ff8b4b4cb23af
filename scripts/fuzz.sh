#!/usr/bin/env bash
# make fuzz: each target for FUZZ_RUNS runs (10,000,000), several seeds one after the other. What is
# done is counted in build/fuzz/state, so that an interrupted run goes on where it was; remove that
# folder to begin anew. Targets run beside each other, one a core. Findings stay in
# build/fuzz/findings.
#   FUZZ_RUNS=100000 scripts/fuzz.sh pickle zip
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" fuzz
CXX=$(find_clang)
[ -n "$CXX" ] || fail "the fuzzers need clang with libFuzzer (Debian: clang-14 libclang-rt-14-dev)"
configure fuzz "-DCMAKE_CXX_COMPILER=$CXX" "-DCMAKE_C_COMPILER=${CXX/clang++/clang}"
RUNS=${FUZZ_RUNS:-10000000}
CHUNK=${FUZZ_CHUNK:-250000}
STATE="$ROOT/build/fuzz/state"
FINDINGS="$ROOT/build/fuzz/findings"
mkdir -p "$STATE" "$FINDINGS"

if [ $# -gt 0 ]; then
  targets=("$@")
else
  targets=()
  for source in "$ROOT"/fuzz/*_fuzzer.cc; do
    name=$(basename "$source" _fuzzer.cc)
    targets+=("$name")
  done
fi

cmake --build "$ROOT/build/fuzz" -j "$JOBS" --target "${targets[@]/#/fuzz_}"

done_of() { cat "$STATE/$1" 2>/dev/null || echo 0; }

# fuzz_chunk NAME RUNS: adds the runs that libFuzzer itself counted.
fuzz_chunk() {
  local name=$1 runs=$2 seed log executed status=0
  seed=$((($(date +%s%N) / 1000) % 2147483647 + 1))
  log="$STATE/$name.log"
  mkdir -p "$ROOT/build/fuzz/corpora/$name"
  "$ROOT/build/fuzz/bin/fuzz_$name" -runs="$runs" -seed="$seed" -timeout=5 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$FINDINGS/$name-" \
    "$ROOT/build/fuzz/corpora/$name" "$ROOT/fuzz/corpora/$name" >"$log" 2>&1 || status=$?
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  echo $(($(done_of "$name") + ${executed:-0})) >"$STATE/$name"
  if [ "$status" -ne 0 ]; then
    tail -40 "$log"
    fail "$name: a finding, seed $seed, log ${log#"$ROOT"/}, input in ${FINDINGS#"$ROOT"/}"
  fi
  printf '%s  %-12s %12d of %d runs, seed %d\n' "$(elapsed)" "$name" "$(done_of "$name")" "$RUNS" "$seed"
}

fuzz_target() {
  local left
  while [ "$(done_of "$1")" -lt "$RUNS" ]; do
    left=$((RUNS - $(done_of "$1")))
    fuzz_chunk "$1" $((left < CHUNK ? left : CHUNK))
  done
}

running=0
status=0
for name in "${targets[@]}"; do
  if [ "$running" -ge "$JOBS" ]; then
    wait -n || status=1
    running=$((running - 1))
  fi
  fuzz_target "$name" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || status=1
  running=$((running - 1))
done

say "${BOLD}executions${RESET}"
for name in "${targets[@]}"; do printf '  %-12s %12d\n' "$name" "$(done_of "$name")"; done
found=$(find "$FINDINGS" -type f | wc -l)
say "findings open: $found"
[ "$status" -eq 0 ] && [ "$found" -eq 0 ]
