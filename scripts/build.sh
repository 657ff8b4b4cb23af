#!/usr/bin/env bash
# make build: dcpctl, libdcp.so and the Python package in build/release.
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" build
configure release
cmake --build "$ROOT/build/release" -j "$JOBS" --target dcp_libraries dcpctl dcp_python dcp_examples llama_state disk_limit
say "${GREEN}built${RESET} build/release/bin/dcpctl, build/release/lib/libdcp.so; build/venv/bin/python imports libdcp"
