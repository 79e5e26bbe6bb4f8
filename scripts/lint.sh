#!/bin/bash
# Runs every static check, all of them even if one fails, and names those that failed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH

failed=()
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-logo
check buf lint
check clang-format --dry-run -Werror sandboxd/native/*.[ch]
check python -m sandboxd.compiled --check
check codespell
check python scripts/generate_protos.py --check
check python scripts/generate_docs.py --check

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
