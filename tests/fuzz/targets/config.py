"""A configuration file is refused with a HostError, or written out again says the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sandboxd.cli.config import as_toml, load
from sandboxd.errors import HostError

SEEDS = (
    b'listen = ["unix:/run/s.sock", "127.0.0.1:7000"]\ngrace = "1.5s"\nslot_count = 2\n',
    b'cgroup = "v2-bare"\nid_mode = "single"\nroot_binds = ["/opt/a\\tb"]\nqueue_length = 0\n',
    (
        b'[defaults]\ncpu_time = "200ms"\nmemory_bytes = "64MiB"\ncpu_count = 0.5\n[ceilings]\n'
        b'process_count = 64\nwall_time = "2h"\n'
    ),
)


def check(data: bytes) -> None:
    """Read the bytes as sandboxd.toml; then what `serve --check` would print."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".toml") as file:
        path = Path(file.name)
        path.write_bytes(data)
        try:
            config = load(str(path), {}, {})
        except HostError as error:
            if not str(error).startswith("cannot "):
                raise
            return
        path.write_text(as_toml(config), encoding="utf-8")
        assert load(str(path), {}, {}) == config
