#!/usr/bin/env bash
# make fuzz: each target for FUZZ_RUNS runs (10,000,000), several seeds one after the other. What is
# done is counted in build/fuzz/state, so that an interrupted run goes on where it was; remove that
# folder to begin anew. One worker a core: each takes a chunk of the target that is furthest behind.
# Findings stay in build/fuzz/findings. Three chunks of four take inputs of up to 2 KiB, which run
# some ten times as often a second as the fourth's, of up to 64 KiB.
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

# $STATE/NAME has a line for each chunk: the runs that libFuzzer itself counted.
done_of() { awk '{ sum += $1 } END { print sum + 0 }' "$STATE/$1" 2>/dev/null || echo 0; }

# fuzz_chunk NAME RUNS WORKER
fuzz_chunk() {
  local name=$1 runs=$2 seed log executed longest=2048 status=0
  seed=$((($(date +%s%N) / 1000) % 2147483647 + 1))
  log="$STATE/$name.$3.log"
  [ $(($(cat "$STATE/$name" 2>/dev/null | wc -l) % 4)) -ne 0 ] || longest=65536
  mkdir -p "$ROOT/build/fuzz/corpora/$name"
  "$ROOT/build/fuzz/bin/fuzz_$name" -runs="$runs" -seed="$seed" -timeout=5 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -max_len=$longest -entropic=0 -print_final_stats=1 \
    -artifact_prefix="$FINDINGS/$name-" \
    "$ROOT/build/fuzz/corpora/$name" "$ROOT/fuzz/corpora/$name" >"$log" 2>&1 || status=$?
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  echo "${executed:-0}" >>"$STATE/$name"
  if [ "$status" -ne 0 ]; then
    tail -40 "$log"
    fail "$name: a finding, seed $seed, log ${log#"$ROOT"/}, input in ${FINDINGS#"$ROOT"/}"
  fi
  printf '%s  %-12s %12d of %d runs, seed %d\n' "$(elapsed)" "$name" "$(done_of "$name")" "$RUNS" "$seed"
}

# The unfinished target with the fewest runs; empty when all are done.
furthest_behind() {
  local name
  for name in "${targets[@]}"; do
    printf '%s %s\n' "$(done_of "$name")" "$name"
  done | sort -n | awk -v runs="$RUNS" 'NR == 1 && $1 < runs { print $2 }'
}

worker() {
  local name left
  while name=$(furthest_behind) && [ -n "$name" ]; do
    left=$((RUNS - $(done_of "$name")))
    fuzz_chunk "$name" $((left < CHUNK ? left : CHUNK)) "$1"
  done
}

workers=()
for ((number = 0; number < JOBS; ++number)); do
  worker "$number" &
  workers+=($!)
done
status=0
for pid in "${workers[@]}"; do wait "$pid" || status=1; done

say "${BOLD}executions${RESET}"
for name in "${targets[@]}"; do printf '  %-12s %12d\n' "$name" "$(done_of "$name")"; done
found=$(find "$FINDINGS" -type f | wc -l)
say "findings open: $found"
[ "$status" -eq 0 ] && [ "$found" -eq 0 ]
