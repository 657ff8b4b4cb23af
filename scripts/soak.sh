#!/usr/bin/env bash
# make soak: builds what the steps run, then scripts/soak.py with the arguments given.
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" mpi
"$ROOT/scripts/setup.sh" test
build_release_with_torch
cd "$ROOT"
exec "$VENV/bin/python" scripts/soak.py "$@"
