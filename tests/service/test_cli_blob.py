"""`sandboxd blob put|get|ls|rm`, against a server of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from post import daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Blob = Callable[..., subprocess.CompletedProcess[bytes]]

pytestmark = pytest.mark.usefixtures("sandboxing_host")

CONTENT = os.urandom(3_000_000)
DIGEST = f"sha256:{sha256(CONTENT).hexdigest()}"
NOBODYS = "sha256:" + "0" * 64


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[Blob]:
    """Give what runs `sandboxd blob` with some arguments."""
    with daemon(tmp_path, "--blobs", str(tmp_path / "blobs"), "--blob-bytes", "8MiB") as server:

        def run(
            verb: str, *arguments: str, stdin: bytes = b""
        ) -> subprocess.CompletedProcess[bytes]:
            command = [sys.executable, "-m", "sandboxd", "blob", verb, "--address", server.unix]
            return subprocess.run(
                [*command, *arguments], input=stdin, capture_output=True, check=False
            )

        yield run


def test_a_blob_goes_there_and_back(blob: Blob, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    put = blob("put", str(tmp_path / "file"), "-", stdin=b"of a pipe")
    assert (put.returncode, put.stderr) == (0, b"")
    first, second = put.stdout.decode().split()
    assert (first, second) == (DIGEST, f"sha256:{sha256(b'of a pipe').hexdigest()}")
    assert blob("get", first).stdout == CONTENT
    assert blob("get", first.removeprefix("sha256:")).stdout == CONTENT
    assert blob("get", first, "--offset", "10", "--limit", "5").stdout == CONTENT[10:15]
    assert blob("get", first, "-o", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_lists_are_tables_or_json(blob: Blob) -> None:
    put = blob("put", "-", "--json", stdin=CONTENT)
    fields = {"sha256": DIGEST.removeprefix("sha256:"), "sizeBytes": str(len(CONTENT))}
    assert json.loads(put.stdout) == {"file": "-", **fields}
    (line,) = blob("ls", "--json").stdout.splitlines()
    listed = json.loads(line)
    assert listed.pop("lastUseTime").endswith("Z")
    assert listed == fields
    assert "3.0 MB" in blob("ls").stdout.decode()


def test_removing_tells_what_was_not_there(blob: Blob) -> None:
    blob("put", "-", stdin=CONTENT)
    assert blob("rm", DIGEST).returncode == 0
    again = blob("rm", DIGEST)
    assert again.returncode == 1
    assert again.stderr.decode() == f"sandboxd: cannot find blob {DIGEST}: you have none of it\n"


def test_a_job_takes_blobs_and_stores_its_files(blob: Blob, tmp_path: Path) -> None:
    tool = blob("put", "-", stdin=b"#!/bin/sh\ntee copy\n").stdout.decode().strip()
    command = [sys.executable, "-m", "sandboxd", "run", "--address", f"unix:{tmp_path}/d.sock"]
    options = ["--file", f"tool={tool}", "--stdin", tool, "--store", "copy"]
    ran = subprocess.run([*command, *options, "--", "./tool"], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, b"#!/bin/sh\ntee copy\n")
    assert ran.stderr.decode() == f"sandboxd: stored 'copy' as {tool}\n"
    assert not (tmp_path / "copy").exists()


def test_what_fails_is_one_line_and_leaves_nothing(blob: Blob, tmp_path: Path) -> None:
    for verb, *arguments in (
        ("get", NOBODYS, "-o", str(tmp_path / "out")),
        ("get", "nonsense"),
        ("put", str(tmp_path / "no-such-file")),
    ):
        failed = blob(verb, *arguments)
        assert failed.returncode == 125
        assert b"cannot" in failed.stderr or b"is no digest" in failed.stderr
        assert b"Traceback" not in failed.stderr
        assert failed.stdout == b""
    too_large = blob("put", "-", stdin=bytes(9 << 20))
    assert too_large.returncode == 125
    assert b"must be at most 8384512 bytes" in too_large.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []
