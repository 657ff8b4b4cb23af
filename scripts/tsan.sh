#!/usr/bin/env bash
# make tsan: the test programs under TSan.
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" build
configure tsan -DDCP_BUILD_CLI=OFF
cmake --build "$ROOT/build/tsan" -j "$JOBS"
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
ctest --test-dir "$ROOT/build/tsan" --output-on-failure -j "$JOBS" --timeout 900 \
  --no-tests=error -LE fuzz-replay
