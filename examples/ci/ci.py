"""A CI step: runs a project's pytest suite in a sandbox and brings its JUnit report out.

    python examples/ci/ci.py unix:/run/user/1000/sandboxd.sock [PROJECT]

Exits as pytest does, and with 125 when something else ended the suite.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import zipfile
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree as ET

import sandboxd

MIB = 1 << 20
SUITE_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=30), memory_bytes=256 * MIB, process_count=32
)
PYTEST_PARTS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
REPORT = "report.xml"
NO_VERDICT = 125


def pack_pytest() -> bytes:
    """Pack pytest, as it is installed here, and what it imports into one zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in PYTEST_PARTS:
            for path in distribution(name).files or ():
                if path.suffix == ".py" or path.name == "METADATA":  # pluggy reads its version
                    archive.write(path.locate(), str(path))
    return packed.getvalue()


def pack_project(project: Path) -> tuple[sandboxd.InputFile, ...]:
    """Give all files of a project, as they lie there."""
    return tuple(
        sandboxd.InputFile(str(path.relative_to(project)), path.read_bytes())
        for path in sorted(project.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


def print_summary(report: bytes) -> None:
    """Print a line a test, and one that counts them."""
    # Written by whom we do not trust: bounded in size, and expat bounds what entities expand to.
    suite = ET.fromstring(report).find("testsuite")  # noqa: S314
    if suite is None:
        raise SystemExit("cannot read the report: it has no test suite")
    for case in suite.iter("testcase"):
        problem = next((kind.tag for kind in case if kind.tag in {"failure", "error"}), None)
        mark = problem or ("skipped" if case.find("skipped") is not None else "passed")
        print(f"  {mark:8} {case.get('classname')}::{case.get('name')}")
    counts = ", ".join(
        f"{suite.get(kind)} {kind}" for kind in ("tests", "failures", "errors", "skipped")
    )
    print(f"  {counts}, {suite.get('time')} s")


async def main() -> int:
    """Run the suite and show its log, its report and what it used."""
    parser = argparse.ArgumentParser(description="Run a project's pytest suite in a sandbox.")
    parser.add_argument("address", help="of a sandboxd server: unix:PATH or HOST:PORT")
    parser.add_argument("project", nargs="?", type=Path, default=Path(__file__).parent / "project")
    options = parser.parse_args()
    tools = sandboxd.InputFile("/tmp/pytest.zip", pack_pytest())  # noqa: S108 - the sandbox's own
    files = (tools, *pack_project(options.project))
    async with sandboxd.Client(options.address) as client:
        result = await client.run(
            ["python3", "-m", "pytest", f"--junitxml={REPORT}"],
            env={"PYTHONPATH": tools.path, "PYTHONDONTWRITEBYTECODE": "1"},
            files=files,
            outputs=(sandboxd.OutputPath(REPORT, max_bytes=MIB),),
            limits=SUITE_LIMITS,
            merge_stderr=True,
        )
    print(result.stdout.data.decode(errors="replace"))
    report = result.files[0]
    if report.content is None:
        print(f"no report: {report.fault}")
    else:
        print(f"{REPORT}, {len(report.content)} bytes:")
        print_summary(report.content)
    usage = result.usage
    cpu_seconds = usage.cpu_time.total_seconds()
    print(f"{result.ending}: {cpu_seconds:.2f} s of CPU, {usage.peak_memory_bytes / MIB:.0f} MiB")
    if isinstance(result.ending, sandboxd.Exited) and report.content is not None:
        return result.ending.exit_code
    return NO_VERDICT


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
