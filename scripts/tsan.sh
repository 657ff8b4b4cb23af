#!/usr/bin/env bash
# make tsan: the test programs under TSan.
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" build
build_tsan
ctest_tsan
