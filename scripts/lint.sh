#!/usr/bin/env bash
# make lint: formatting, clang-tidy (.clang-tidy), and the order of the layers.
#   scripts/lint.sh [file...]   clang-tidy only on these
. "$(dirname "$0")/common.sh"

"$ROOT/scripts/setup.sh" lint
cd "$ROOT"

mapfile -t sources < <(git ls-files --cached --others --exclude-standard \
  'src/*.cc' 'src/*.h' 'mpi/*.cc' 'mpi/*.h' 'torch/*.cc' 'torch/*.h' 'include/*.h' 'include/*.hpp' 'fuzz/*.cc' 'bench/*.cc' 'examples/*.c' \
  'tests/*.cc' 'tests/*.c' 'tests/*.h' 'bindings/*.c' 'bindings/*.h' | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
  done)
say "${CYAN}clang-format${RESET} ${#sources[@]} files"
clang-format-14 --dry-run --Werror "${sources[@]}"

say "${CYAN}layers${RESET}"
python3 tests/abi/layers.py

say "${CYAN}clang-tidy${RESET}"
configure release
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(git ls-files 'src/*.cc'); fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$JOBS" clang-tidy-14 -p build/release --quiet 2>/dev/null
say "${GREEN}clean${RESET} ($(elapsed))"
