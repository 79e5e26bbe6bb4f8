#!/bin/bash
# Runs the test lanes, each with a pytest of its own:  scripts/test.sh [LANE...] [-- PYTEST-OPTION...]
#
# Never as root: root becomes an ordinary user with subordinate ids and delegated cgroups first
# (scripts/as_test_user.py); a user gets delegated cgroups from systemd where it runs.
set -euo pipefail
cd "$(dirname "$0")/.."

lanes=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  lanes+=("$1")
  shift
done
[ $# -gt 0 ] && shift
[ "${#lanes[@]}" -gt 0 ] || lanes=(unit sandbox sandbox-python service faults fuzz)

scratch=$(mktemp -d -p /var/tmp) # not /tmp: sandboxes have their own, and tests show them the checkout
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"

# An ordinary user cannot read a checkout in root's home or of umask 077: then test a copy.
may_read() {
  setpriv --reuid 65534 --regid 65534 --clear-groups \
    sh -c '.venv/bin/python -c "import sandboxd.local" && test -r tests/unit' 2>/dev/null
}
if [ "$(id -u)" = 0 ] && ! may_read; then
  echo "testing a copy: other users cannot read $PWD" >&2
  cp -a . "$scratch/checkout"
  chown -R 0:0 "$scratch/checkout"
  chmod -R a+rX "$scratch/checkout"
  original=$PWD
  cd "$scratch/checkout"
  # Scripts of the environment, and the link to the checkout, name the place that they were made for.
  grep -lIr "$original" .venv/bin .venv/lib/python*/site-packages/*.pth |
    xargs sed -i "s|$original|$PWD|g"
fi

prefix=()
if [ "$(id -u)" = 0 ]; then
  prefix=(.venv/bin/python scripts/as_test_user.py)
elif systemd-run --user --scope --quiet -p Delegate=yes true 2>/dev/null; then
  prefix=(systemd-run --user --scope --quiet -p Delegate=yes)
fi

mkdir -m 1777 "$scratch/hypothesis"
export HYPOTHESIS_STORAGE_DIRECTORY=$scratch/hypothesis PYTHONDONTWRITEBYTECODE=1

failed=()
for lane in "${lanes[@]}"; do
  echo "== tests/$lane"
  zygote=compiled only=()
  if [ "$lane" = sandbox-python ]; then # what serves without a compiler; the rest it cannot change
    zygote=python
    for file in weak_hosts rungs density toolchains probe exclusive pool output policies nesting; do
      only+=(--ignore "tests/sandbox/test_$file.py")
    done
  fi
  SANDBOXD_TEST_ZYGOTE=$zygote "${prefix[@]}" \
    .venv/bin/python -m pytest -p no:cacheprovider "tests/${lane%-python}" "${only[@]}" "$@" ||
    failed+=("$lane")
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed lanes: ${failed[*]}" >&2
  exit 1
fi
