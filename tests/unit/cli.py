"""What the tests of the command line share: `sandboxd` as a process, as a user would call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxd.errors import HostError
from sandboxd.host import probe_host

REQUIRED = os.environ.get("SANDBOXD_REQUIRE_SANDBOX", "") not in {"", "0"}
ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 60


def sandboxd(
    *arguments: str | Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Call `sandboxd` and wait for its end."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "sandboxd", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        cwd=cwd,
        env={**clean_environment(), **(env or {})},
    )


def clean_environment() -> dict[str, str]:
    """Give an environment in which nothing of the caller's configures `sandboxd`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOXD_")}
    return {**kept, "XDG_CONFIG_HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}


def require_sandboxing() -> None:
    """Skip for a reason that the host gives, or fail where these tests must run."""
    try:
        probe_host()
    except HostError as error:
        if REQUIRED:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
