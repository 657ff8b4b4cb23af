# Sourced by the scripts here: where things are, and how they talk.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/build/venv"
JOBS=${JOBS:-$(nproc)}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' CYAN=$'\e[36m' RESET=$'\e[0m'
else
  BOLD='' DIM='' RED='' GREEN='' CYAN='' RESET=''
fi

say() { printf '%s\n' "$*"; }
fail() { printf '%s%s%s\n' "$RED" "$*" "$RESET" >&2; exit 1; }

# elapsed: minutes and seconds since the script began.
elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# The clang for the fuzzers, newest known to work first; empty when there is none.
find_clang() {
  local name
  for name in clang++-14 clang++ clang++-15 clang++-16 clang++-17 clang++-18 clang++-19; do
    if command -v "$name" >/dev/null; then say "$name"; return; fi
  done
}

# configure PRESET [option...]: configures build/PRESET, only when that is new or changed.
configure() {
  local preset=$1
  shift
  local options=("$@" "-DPython3_EXECUTABLE=$VENV/bin/python" "-DPython_EXECUTABLE=$VENV/bin/python")
  if command -v ccache >/dev/null; then
    options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  local stamp="$ROOT/build/$preset/.configured-with"
  local configured="${options[*]} $(sha256sum <"$ROOT/CMakePresets.json")"
  if [ -f "$ROOT/build/$preset/build.ninja" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$configured" ]; then
    return
  fi
  (cd "$ROOT" && cmake --preset "$preset" "${options[@]}")
  printf '%s' "$configured" >"$stamp"
}

# build_preset PRESET [option...]
build_preset() {
  configure "$@"
  cmake --build "$ROOT/build/$1" -j "$JOBS"
}

# Commands in the background are started with Ctrl-C ignored; tests of Ctrl-C need it as it is.
SIGNALS=(env --default-signal=INT,QUIT,TERM,HUP,PIPE)

# run_ctest PRESET [argument...]
run_ctest() {
  local preset=$1
  shift
  "${SIGNALS[@]}" ctest --test-dir "$ROOT/build/$preset" --output-on-failure -j "$JOBS" \
    --timeout 900 --no-tests=error "$@"
}

# The release build with MPI and, where PyTorch is set up in build/torch-2.15, libdcp_torch.
TORCH="$ROOT/build/torch-2.15/bin/python"
build_release_with_torch() {
  local options=(-DDCP_MPI=ON -DDCP_TORCH=OFF)
  if [ -x "$TORCH" ]; then
    local packages
    packages=$("$TORCH" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    options=(-DDCP_MPI=ON -DDCP_TORCH=ON "-DDCP_TORCH_DIR=$packages/torch")
  fi
  build_preset release "${options[@]}"
}

# The test programs under TSan.
TSAN=halt_on_error=1:second_deadlock_stack=1
build_tsan() { build_preset tsan -DDCP_BUILD_CLI=OFF; }
build_tsan_program() {
  configure tsan -DDCP_BUILD_CLI=OFF
  cmake --build "$ROOT/build/tsan" -j "$JOBS" --target "$1"
}
ctest_tsan() { TSAN_OPTIONS=$TSAN run_ctest tsan -LE fuzz-replay; }
