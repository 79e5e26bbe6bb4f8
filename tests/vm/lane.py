"""The VM lane: boots stock Debian guests and runs the acceptance set there as an ordinary user.

Each guest gets four disks: its image (never changed), the checkout (read-only), one that it writes
a tar archive of results to, and swap. Results are JUnit XML; the console is kept as well.

    .venv/bin/python tests/vm/lane.py [--results DIRECTORY] [SUITE...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from images import CHECKOUT, Image, image_of

SUITES = ("bookworm", "trixie")
PATIENCE_SECONDS = 25 * 60
RESULT_BYTES = 64 << 20
SWAP_BYTES = 512 << 20
KERNEL_REASON = "this kernel"
"""A test may be skipped for what a guest's kernel lacks, and for nothing else."""
LINES = 100


class Guest(NamedTuple):
    """A machine that runs, and where it leaves what."""

    suite: str
    process: subprocess.Popen[bytes]
    directory: Path


class Count(NamedTuple):
    """What one JUnit file says."""

    passed: int
    failed: list[str]
    skipped: list[str]


def boot(suite: str, image: Image, checkout: Path, directory: Path) -> Guest:
    """Start a guest; its console goes to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    results, swap = directory / "results.tar", directory / "swap"
    for path, size in ((results, RESULT_BYTES), (swap, SWAP_BYTES)):
        with path.open("wb") as file:
            file.truncate(size)
    subprocess.run(["mkswap", "--quiet", swap], check=True, stderr=subprocess.DEVNULL)
    command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"]
    # Emulated, not virtualised: it runs on every machine, also where this one is virtual itself.
    command += ["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"]
    # One processor: several shoot down each other's translations of addresses, dear as well.
    command += ["-smp", "1", "-m", "4G", "-serial", f"file:{directory / 'console'}"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    # What kernels do against flaws of processors costs an emulator dear, which has no such flaws.
    command += ["-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off"]
    for disk, options in (
        (image.disk, "snapshot=on"),
        (checkout, "readonly=on"),
        (results, ""),
        (swap, ""),
    ):
        command += [
            "-drive",
            f"if=virtio,format=raw,cache=unsafe,file={disk},{options}".rstrip(","),
        ]
    return Guest(suite, subprocess.Popen(command, stdin=subprocess.DEVNULL), directory)


def pack_checkout(path: Path) -> None:
    """Write a disk that holds this checkout: what git has of it, as it is now."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    ).stdout
    with tempfile.TemporaryDirectory() as tree:
        pack = ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"]
        packed = subprocess.run(pack, cwd=CHECKOUT, input=names, check=True, capture_output=True)
        subprocess.run(["tar", "--extract"], cwd=tree, input=packed.stdout, check=True)
        with path.open("wb") as disk:
            disk.truncate(128 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-d", tree, path], check=True)


def read_junit(path: Path) -> Count:
    """Count what a JUnit file says."""
    failed, skipped, passed = [], [], 0
    root = ET.parse(path).getroot()  # noqa: S314 - written by our own pytest
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif (reason := case.find("skipped")) is not None:
            skipped.append(f"{name}: {reason.get('message')}")
        else:
            passed += 1
    return Count(passed, failed, skipped)


def report(guest: Guest) -> bool:
    """Print what a guest brought back; tell whether all of it is well."""
    print(f"== {guest.suite}")
    unpack = ["tar", "-xf", "results.tar"]
    if subprocess.run(unpack, cwd=guest.directory, check=False, capture_output=True).returncode:
        print(f"it brought nothing back; the end of {guest.directory / 'console'}:")
        print(end_of(guest.directory / "console"))
        return False
    steps = (guest.directory / "results/steps").read_text()
    print(steps, end="")
    well = steps.endswith("all passed\n")
    for path in sorted(guest.directory.glob("results/*.xml")):
        count = read_junit(path)
        unexcused = [line for line in count.skipped if KERNEL_REASON not in line]
        print(f"{path.stem}: {count.passed} passed", *_numbers(count), sep=", ")
        for line in (*count.failed, *count.skipped):
            print(f"   {line}")
        well = well and count.passed > 0 and not count.failed and not unexcused
    if not well:
        print(f"the end of {guest.directory / 'results/log'}:")
        print(end_of(guest.directory / "results/log"))
    return well


def _numbers(count: Count) -> list[str]:
    numbers = {"failed": len(count.failed), "skipped": len(count.skipped)}
    return [f"{number} {name}" for name, number in numbers.items() if number]


def end_of(path: Path) -> str:
    """Give the last lines of a text."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-LINES:])


def main() -> int:
    """Run the lane."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", default=list(SUITES), metavar="SUITE")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir(), "sandboxd-vm"))
    options = parser.parse_args()
    start = time.monotonic()
    with ThreadPoolExecutor() as pool:
        images = dict(zip(options.suites, pool.map(image_of, options.suites), strict=True))
    print(f"images after {time.monotonic() - start:.0f} s", flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    checkout = options.results / "checkout"
    pack_checkout(checkout)
    guests = [boot(s, images[s], checkout, options.results / s) for s in options.suites]
    try:
        for guest in guests:
            left = PATIENCE_SECONDS - (time.monotonic() - start)
            guest.process.wait(timeout=max(left, 1))
    except subprocess.TimeoutExpired:
        print(f"given up after {PATIENCE_SECONDS} s")
    finally:
        for guest in guests:
            guest.process.kill()
            guest.process.wait()
    well = [report(guest) for guest in guests]
    print(f"== {'passed' if all(well) else 'failed'} after {time.monotonic() - start:.0f} s")
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
