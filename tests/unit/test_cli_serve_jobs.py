"""`sandboxd serve --jobs`: its settings, and the places that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli import require_sandboxing, sandboxd
from test_cli_serve import printed

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_printed_is_a_file_that_gives_the_same(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text(
        'jobs = "/var/lib/jobs"\njob_bytes = "2GiB"\njob_queue = 7\njob_keep_time = "90m"\n'
        'job_webhooks = ["https://hooks.example/a", "http://127.0.0.1:8080"]\n'
    )
    first = printed("--config", config)
    assert (first["jobs"], first["job_bytes"], first["job_queue"]) == ("/var/lib/jobs", 2 << 30, 7)
    assert first["job_keep_time"] == "5400s"
    assert first["job_webhooks"] == ["https://hooks.example/a", "http://127.0.0.1:8080"]
    again = tmp_path / "again.toml"
    again.write_bytes(sandboxd("serve", "--print-config", "--config", config).stdout)
    assert printed("--config", again) == first


def test_without_a_place_nothing_of_it_is_there(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text('jobs = "/var/lib/jobs"\n')
    assert printed("--config", config, SANDBOXD_JOBS="").keys() & {"jobs", "job_bytes"} == set()
    options = ("--jobs", "/x", "--job-queue", "3", "--job-webhook", "http://a", "--job-bytes", "1K")
    by_options = printed("--config", config, *options)
    assert (by_options["jobs"], by_options["job_queue"], by_options["job_bytes"]) == ("/x", 3, 1024)
    assert by_options["job_webhooks"] == ["http://a"]
    assert by_options["job_keep_time"] == "86400s"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('job_bytes = "lots"', "job_bytes: 'lots' is no size"),
        ("job_queue = 0", "job_queue: 0 is less than 1"),
        ('job_keep_time = "0s"', "job_keep_time: must be above zero"),
        ('job_webhooks = "https://user@host/"', "job_webhooks: 'https://user@host/'"),
        ('job_webhooks = ["https://host/?x"]', "job_webhooks: 'https://host/?x'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text(text)
    done = sandboxd("serve", "--print-config", "--config", config)
    assert (done.returncode, done.stdout) == (125, b"")
    assert named in done.stderr.decode()


@pytest.mark.parametrize(
    ("place", "named"),
    [("/usr/lib/jobs", "every job sees /usr"), ("/no/such/place", "cannot make /no/such/place")],
)
def test_serve_refuses_a_place_for_jobs_that_is_none(
    tmp_path: Path, place: str, named: str
) -> None:
    require_sandboxing()
    done = sandboxd("serve", "--listen", f"unix:{tmp_path}/s", "--jobs", place)
    assert (done.returncode, done.stdout) == (125, b"")
    assert named.encode() in done.stderr
