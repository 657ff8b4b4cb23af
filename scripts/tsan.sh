#!/usr/bin/env bash
# make tsan: the test programs under TSan.
#   scripts/tsan.sh                       all of them
#   scripts/tsan.sh PROGRAM ARGUMENT...   this one
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" build
if [ $# -eq 0 ]; then
  build_tsan
  ctest_tsan
else
  program=$1
  shift
  build_tsan_program "$program"
  TSAN_OPTIONS=$TSAN "$ROOT/build/tsan/bin/$program" "$@"
fi
