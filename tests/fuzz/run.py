"""Runs one target of `targets/` under atheris, guided by coverage.

    python tests/fuzz/run.py TARGET SECONDS

Inputs that reach something new are kept in .fuzz/TARGET; one that breaks it, in .fuzz/crash-*: it
becomes a test.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / ".fuzz"


def main(name: str, seconds: str) -> None:
    """Fuzz until the time is over or something breaks."""
    sys.path += [str(HERE.parent / "unit")]
    with atheris.instrument_imports(include=["sandboxd"]):
        target = importlib.import_module(f"targets.{name}")
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={KEPT}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
