"""What the operator lets the root show: refused where a sandbox would hide it, shown elsewhere."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cli import sandboxd

from sandboxd.errors import HostError
from sandboxd.host import host_root_sources
from sandboxd.kernel.mounts import Source

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def toolchain() -> Iterator[Path]:
    """Give a directory that no sandbox has for itself."""
    with TemporaryDirectory(dir="/var/tmp") as path:
        yield Path(path)


@pytest.mark.parametrize("path", ["/tmp", "/dev", "/dev/shm", "/proc", "/proc/sys", "/sys/kernel"])
def test_what_a_sandbox_would_hide_is_refused(path: str) -> None:
    with pytest.raises(HostError, match=f"cannot show {path} .*would be hidden.*below /opt") as no:
        host_root_sources((path,))
    assert no.value.reason == "ROOT_BIND_INVALID"


def test_a_link_is_judged_by_where_it_leads(toolchain: Path, tmp_path: Path) -> None:
    hidden, shown = toolchain / "link", tmp_path / "link"
    hidden.symlink_to("/tmp")
    shown.symlink_to(toolchain)
    with pytest.raises(HostError, match=r"/link .*/tmp is never the host's"):
        host_root_sources((str(hidden),))
    assert host_root_sources((str(shown),))[-1] == Source(str(toolchain), "directory")


@pytest.mark.parametrize("path", ["/", "//", "usr", "/nonexistent", "/etc/passwd"])
def test_what_is_no_directory_of_toolchains_is_refused(path: str) -> None:
    with pytest.raises(HostError, match="name an existing directory") as no:
        host_root_sources((path,))
    assert no.value.reason == "ROOT_BIND_INVALID"


def test_run_shows_further_directories(toolchain: Path) -> None:
    options = ("--root-bind", toolchain, "--root-bind", "/usr/lib")
    done = sandboxd("run", *options, "--explain", "--", "true")
    assert (done.returncode, done.stderr) == (0, b"")
    for path in (str(toolchain), "/usr/lib"):
        assert f"bind {path} on /proc{path} " in done.stdout.decode()


def test_run_refuses_a_directory_that_a_sandbox_would_hide() -> None:
    done = sandboxd("run", "--root-bind", "/tmp", "--", "true")
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"sandboxd: cannot show /tmp in the root: ")
