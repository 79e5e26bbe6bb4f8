#!/bin/bash
# Installs what development, tests and demo need, and builds .venv. Does nothing when all is there.
#
#   scripts/install.sh [PACKAGE...]    further Debian packages to install
#
# SANDBOXD_EXTRA=test leaves out what only linting and generating need.
# Works as root, or as a user with sudo; needs neither when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
extra=${SANDBOXD_EXTRA:-dev}

packages=(ca-certificates g++ gcc libc6-dev libcap-dev libseccomp2 make procps uidmap "$@")

# The interpreter must be one that every user may execute: not whatever PATH finds first, which may
# lie in somebody's home.
find_python() {
  local path
  for path in /usr/bin/python3 /usr/bin/python3.1[1-9] /usr/local/bin/python3; do
    if [ -x "$path" ] && "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "$path"
      return
    fi
  done
}

missing_packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "cannot install: run this as root, or install sudo; needed is: $*" >&2
    exit 1
  fi
}

install_packages() {
  echo "installing packages: $*" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python=$(find_python)
case "$python" in
  "" | /usr/bin/python3) packages+=(python3 python3-dev python3-venv) ;;
  /usr/bin/python3.*) packages+=("${python##*/}-dev" "${python##*/}-venv") ;;
esac

if command -v apt-get >/dev/null; then
  mapfile -t missing < <(missing_packages "${packages[@]}")
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
    python=$(find_python)
  fi
else
  echo "no apt-get here: see to it that these are there: ${packages[*]}" >&2
fi
if [ -z "$python" ]; then
  echo "cannot install: no Python 3.11 or newer in /usr/bin or /usr/local/bin" >&2
  exit 1
fi

# Ubuntu 24.04 and newer let only programs with an AppArmor profile use user namespaces. Give our own
# interpreter one, which therefore must be a file of its own; the rest of the machine stays as it is.
copies=()
restriction=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
stamp_text="$root $extra $python $("$python" --version) $(cat pyproject.toml scripts/install.sh | sha256sum)"
if [ "$(cat $restriction 2>/dev/null || echo 0)" = 1 ]; then
  copies=(--copies)
  stamp_text+=" $(cat /proc/sys/kernel/random/boot_id)" # a loaded profile is gone after a reboot
fi

stamp=.venv/installed
build_zygote() { .venv/bin/python -m sandboxd.compiled >/dev/null || true; } # the sources may be newer
if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$stamp_text" ]; then
  build_zygote
  exit 0
fi

echo "building .venv with $python" >&2
if ! .venv/bin/python -c "import sys; sys.exit(sys.prefix != '$root/.venv')" 2>/dev/null; then
  rm -rf .venv
fi
"$python" -m venv "${copies[@]}" .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e ".[$extra]"
.venv/bin/python -m compileall -q sandboxd # another user may read it, but not write beside it

if [ "${#copies[@]}" -gt 0 ]; then
  as_root apparmor_parser --replace <<PROFILE
abi <abi/4.0>,
include <tunables/global>
profile sandboxd "$root/.venv/bin/python*" flags=(unconfined) {
  userns,
}
PROFILE
fi
echo "$stamp_text" >$stamp
