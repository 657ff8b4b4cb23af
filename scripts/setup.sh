#!/usr/bin/env bash
# Installs what a step needs and this machine lacks; quick when nothing is missing.
#   scripts/setup.sh build | mpi | test | fuzz | lint
# Debian packages come by apt, as root or with sudo; without either the list is printed and the
# script ends. Python parts go into build/venv (and build/torch-2.15 for `test`), nowhere else.
. "$(dirname "$0")/common.sh"

step=${1:-build}

packages=(g++ cmake ninja-build pkg-config zlib1g-dev libfmt-dev libisal-dev liburing-dev
          libzstd-dev libssl-dev libcli11-dev nlohmann-json3-dev libcmocka-dev swig python3-dev python3-venv)
case $step in
  build) ;;
  mpi) packages+=(libopenmpi-dev openmpi-bin) ;;
  test) packages+=(binutils strace valgrind libgloo-dev) ;;
  fuzz)
    if [ -z "$(find_clang)" ]; then
      if apt-cache show clang-14 >/dev/null 2>&1; then
        packages+=(clang-14 libclang-rt-14-dev)
      else
        packages+=(clang)
      fi
    fi ;;
  lint)
    command -v clang-format-14 >/dev/null || packages+=(clang-format-14)
    command -v clang-tidy-14 >/dev/null || packages+=(clang-tidy-14) ;;
  *) fail "usage: scripts/setup.sh build|mpi|test|fuzz|lint" ;;
esac

# The Python that makes build/venv; Debian's needs python3-dev and python3-venv, others bring both.
PYTHON=${PYTHON:-python3}
python_is_whole() {
  command -v "$PYTHON" >/dev/null && "$PYTHON" - <<'END' >/dev/null 2>&1
import ensurepip, os, sysconfig, venv
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
END
}

missing_packages() {
  local have package
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    case $package in
      python3-dev | python3-venv) python_is_whole && continue ;;
      g++ | cmake | strace | swig | valgrind) command -v "$package" >/dev/null && continue ;;
      binutils) command -v nm >/dev/null && continue ;;
      ninja-build) command -v ninja >/dev/null && continue ;;
      pkg-config) command -v pkg-config >/dev/null && continue ;;
    esac
    grep -qx "$package installed" <<<"$have" || say "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is no Debian or Ubuntu. Install the like of: ${packages[*]}"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] && return
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      root=(sudo)
    else
      say "These packages are missing, and this is neither root nor has it sudo:"
      say "  apt-get install ${missing[*]}"
      exit 1
    fi
  fi
  say "${CYAN}Installing${RESET} ${missing[*]}"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# make_venv FOLDER REQUIREMENTS: a virtual environment that holds them; a stamp tells that it does.
make_venv() {
  local folder=$1 requirements=$2
  local stamp
  stamp="$folder/.holds-$(sha256sum <"$requirements" | cut -c1-16)"
  [ -f "$stamp" ] && return
  say "${CYAN}Installing${RESET} $(basename "$requirements") into ${folder#"$ROOT"/}"
  [ -x "$folder/bin/python" ] || "$PYTHON" -m venv "$folder"
  "$folder/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements"
  touch "$stamp"
}

# build/venv imports libdcp from where the release build puts it.
link_package() {
  local packages_folder
  packages_folder=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  printf '%s\n' "$ROOT/build/release/python" >"$packages_folder/libdcp.pth"
}

mkdir -p "$ROOT/build"
exec 9>"$ROOT/build/.setup.lock"
flock 9
install_packages
make_venv "$VENV" "$ROOT/scripts/requirements.txt"
link_package
if [ "$step" = test ]; then
  if "$VENV/bin/python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))'; then
    make_venv "$ROOT/build/torch-2.15" "$ROOT/scripts/requirements-torch-2.15.txt"
  else
    say "Python $("$VENV/bin/python" -V) is too old for torch 2.15 (3.11): no live exchange here."
  fi
fi
