#!/bin/bash
# Fuzzes for long:  scripts/fuzz.sh [SECONDS]
#
# Half of the time goes to the parsers, guided by coverage where atheris is there (extra `fuzz`), else
# at random; half to random system calls in real sandboxes, from a seed that is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}

failed=()
targets=(channel config policy profile wire)
if .venv/bin/python -c 'import atheris' 2>/dev/null; then
  for target in "${targets[@]}"; do
    echo "== tests/fuzz/targets/$target.py"
    .venv/bin/python tests/fuzz/run.py "$target" $((seconds / 2 / ${#targets[@]})) || failed+=("$target")
  done
else
  echo "atheris is not here; without guidance: .venv/bin/pip install -e '.[fuzz]' mends that" >&2
  SANDBOXD_FUZZ_EXAMPLES=$((seconds * 40)) scripts/test.sh fuzz/test_parsers.py || failed+=(parsers)
fi

export SANDBOXD_FUZZ_SECONDS=$((seconds / 2)) SANDBOXD_FUZZ_SEED=${SANDBOXD_FUZZ_SEED:-$RANDOM}
scripts/test.sh fuzz/test_random_calls.py -- -s || failed+=(calls)

if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
