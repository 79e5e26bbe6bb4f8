"""Runs every benchmark, and prints the figures that are to be reached beside those that were.

    python benchmarks/run.py                        # about ten minutes; a quiet machine, please
    python benchmarks/run.py --quick                # a look, in about one; nothing for the history
    python benchmarks/run.py --only latency load
    python benchmarks/run.py --peer-http 127.0.0.1:5050 --peer-grpc 127.0.0.1:5051

Each is a process of its own, one after the other. What did not run now stands in the table with the
date and the commit that it was measured at.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import figures
import peers
import plots
from common import HERE, QUICK, describe_machine
from history import newest
from rich.console import Console
from rich.table import Table

OF_QUICK = ("latency", "load", "exactness", "slowdown")


def main() -> None:
    """Run, print, draw; fail if a benchmark did."""
    parser = argparse.ArgumentParser(description="Measure every figure that is to be reached.")
    parser.add_argument(QUICK, action="store_true", help="a look, in about a minute")
    parser.add_argument("--only", nargs="+", choices=figures.TOGETHER, help="these, not all")
    peers.add_options(parser)
    options = parser.parse_args()
    parts = options.only or (OF_QUICK if options.quick else figures.TOGETHER)
    failed = [part for part in parts if not run(part, sys.argv[1:])]
    print_figures()
    if not options.quick:
        plots.main()
    if failed:
        raise SystemExit(f"cannot measure all: failed are {', '.join(failed)}")


def run(part: str, options: list[str]) -> bool:
    """Run one benchmark; tell whether it came to its end."""
    print(f"== {part}", flush=True)
    began = time.monotonic()
    command = [sys.executable, str(HERE / f"{part}.py"), *options]
    code = subprocess.run(command, check=False).returncode
    print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


def print_figures() -> None:
    """Print the table."""
    table = Table(title="figures to reach", title_justify="left")
    for heading in ("what", "to reach", "measured, 95 % interval", "", "at"):
        table.add_column(heading)
    for at, figure in figures.figures():
        table.add_row(figure.what, figure.target, figure.found, figure.verdict, at)
    console = Console(width=140)
    console.print(table)
    if measured := newest("latency"):
        console.print(describe_machine(measured.results["machine"]))


if __name__ == "__main__":
    main()
