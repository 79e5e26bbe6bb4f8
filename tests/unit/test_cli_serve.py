"""`sandboxd serve`, `host` and `policy`: what they print, whom they believe, what they refuse."""

from __future__ import annotations

import base64
import os
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from cli import require_sandboxing, sandboxd
from click.testing import CliRunner
from google.protobuf.json_format import Parse

from sandboxd.cli import token
from sandboxd.host import probe_host
from sandboxd.server.callers import parse_callers
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path


# --- configuration --------------------------------------------------------------------------------


def printed(*options: str | Path, **env: str) -> dict[str, Any]:
    """Give the configuration that `serve` would use."""
    done = sandboxd("serve", "--print-config", *options, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    return tomllib.loads(done.stdout.decode())


def test_options_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text("queue_length = 2\nslot_count = 3\n")
    file = ("--config", config)
    assert printed()["queue_length"] == 1024
    assert printed(*file)["queue_length"] == 2
    assert printed(*file, SANDBOXD_QUEUE_LENGTH="4")["queue_length"] == 4
    both = printed(*file, "--queue", "5", SANDBOXD_QUEUE_LENGTH="4")
    assert both["queue_length"] == 5
    assert both["slot_count"] == 3, "what nobody overrides stays"


def test_a_zero_is_an_option_too(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text("queue_length = 2\n")
    assert printed("--config", config, "--queue", "0")["queue_length"] == 0


def test_the_file_in_the_configuration_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "sandboxd").mkdir()
    (tmp_path / "sandboxd/sandboxd.toml").write_text("queue_length = 7\n")
    assert printed(XDG_CONFIG_HOME=str(tmp_path))["queue_length"] == 7


def test_what_is_printed_is_a_file_that_gives_the_same(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text(
        'listen = ["unix:/tmp/a b\\"c.sock", "127.0.0.1:5000"]\n'
        'blobs = "/var/lib/blobs"\nblob_bytes = "2GiB"\nblob_ttl = "24h"\n'
        'grace = "1.5s"\nworkers = 2\nslot_count = 2\ncompiled = false\n'
        'cgroup = "none"\nid_mode = "single"\n'
        'root_binds = ["/usr"]\ncallers = "/etc/callers.toml"\naudit = "/var/log/a \\"b"\n'
        '[defaults]\nwall_time = "0.25s"\nmemory_bytes = "64MiB"\n'
        "[ceilings]\ncpu_count = 1.5\nprocess_count = 12\n"
        '[tls]\ncertificate = "/c"\nkey = "/k"\nclient_ca = "/a"\n'
    )
    first = printed("--config", config)
    assert first["listen"] == ['unix:/tmp/a b"c.sock', "127.0.0.1:5000"]
    assert (first["blobs"], first["blob_bytes"]) == ("/var/lib/blobs", 2 << 30)
    assert first["blob_ttl"] == "86400s"
    assert (first["workers"], first["compiled"]) == (2, False)
    assert first["defaults"] == {"wall_time": "0.25s", "memory_bytes": 64 << 20}
    assert first["ceilings"] == {"cpu_count": 1.5, "process_count": 12}
    assert (first["callers"], first["audit"]) == ("/etc/callers.toml", '/var/log/a "b')
    assert first["tls"] == {"certificate": "/c", "key": "/k", "client_ca": "/a"}
    again = tmp_path / "again.toml"
    again.write_bytes(sandboxd("serve", "--print-config", "--config", config).stdout)
    assert printed("--config", again) == first


def test_an_empty_place_for_blobs_is_none(tmp_path: Path) -> None:
    """So that a drop-in can take away what the shipped unit says."""
    assert printed(SANDBOXD_BLOBS=str(tmp_path))["blobs"] == str(tmp_path)
    assert "blobs" not in printed(SANDBOXD_BLOBS="")


def test_without_an_address_it_says_where_it_would_listen(tmp_path: Path) -> None:
    assert printed(XDG_RUNTIME_DIR=str(tmp_path))["listen"] == [f"unix:{tmp_path}/sandboxd.sock"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("no_such_key = 1", "no_such_key"),
        ("[defaults]\nno_such_limit = 1", "no_such_limit"),
        ("slot_count = 0", "slot_count"),
        ('queue_length = "many"', "queue_length"),
        ("workers = 0", "workers: 0 is less than 1"),
        ('compiled = "perhaps"', "compiled"),
        ('cgroup = "v9"', "cgroup"),
        ('id_mode = "none"', "id_mode"),
        ('grace = "soon"', "soon"),
        ('blob_bytes = "lots"', "blob_bytes: 'lots' is no size"),
        ('blob_ttl = "long"', "blob_ttl: 'long' is no duration"),
        ('blob_ttl = "299s"', "blob_ttl: must be at least 300s"),
        ('[ceilings]\nmemory_bytes = "lots"', "lots"),
        ("not toml at all", "sandboxd.toml"),
        ('[tls]\ncertificate = "c"', "tls.key is missing"),
        ('[tls]\nkey = "k"', "tls.certificate is missing"),
        ('[tls]\ncertificate = "c"\nkey = "k"\nca = "a"', "tls.ca is not known"),
        ('[tls]\ncertificate = "c"\nkey = 5', "tls.key must be a path"),
        ('tls = "c"', "tls"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text(text)
    done = sandboxd("serve", "--print-config", "--config", config)
    assert (done.returncode, done.stdout) == (125, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("sandboxd: cannot ")
    assert named in line


def test_a_wrong_value_of_the_environment_is_refused_by_name() -> None:
    done = sandboxd("serve", "--print-config", env={"SANDBOXD_SLOT_COUNT": "x"})
    assert done.returncode == 125
    assert b"slot_count" in done.stderr


def test_a_missing_configuration_file_is_refused(tmp_path: Path) -> None:
    done = sandboxd("serve", "--print-config", "--config", tmp_path / "absent.toml")
    assert done.returncode == 125
    assert b"absent.toml" in done.stderr


# --- serve ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000", "example.org:80"])
def test_serve_refuses_tcp_beyond_loopback(address: str) -> None:
    require_sandboxing()
    done = sandboxd("serve", "--listen", address)
    assert (done.returncode, done.stdout) == (125, b"")
    (line,) = done.stderr.splitlines()
    assert b"TCP beyond loopback needs authentication" in line


@pytest.mark.parametrize("address", ["here", "127.0.0.1", "127.0.0.1:99999", ""])
def test_serve_refuses_what_is_no_address(address: str) -> None:
    require_sandboxing()
    done = sandboxd("serve", "--listen", address)
    assert done.returncode == 125
    assert b"cannot listen on" in done.stderr


def test_serve_refuses_a_file_of_callers_that_is_wrong(tmp_path: Path) -> None:
    require_sandboxing()
    callers = tmp_path / "callers.toml"
    callers.write_text("[[caller]]\n")
    callers.chmod(0o600)
    done = sandboxd("serve", "--listen", f"unix:{tmp_path}/s", "--callers", callers)
    assert (done.returncode, done.stdout) == (125, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"sandboxd: cannot use {callers}: caller 1: name must be")


@pytest.mark.parametrize(
    ("place", "named"),
    [("/usr/lib/blobs", "every job sees /usr"), ("/no/such/place", "cannot make /no/such/place")],
)
def test_serve_refuses_a_place_for_blobs_that_is_none(
    tmp_path: Path, place: str, named: str
) -> None:
    require_sandboxing()
    done = sandboxd("serve", "--listen", f"unix:{tmp_path}/s", "--blobs", place)
    assert (done.returncode, done.stdout) == (125, b"")
    assert named.encode() in done.stderr


def test_serve_refuses_an_audit_that_it_cannot_write(tmp_path: Path) -> None:
    require_sandboxing()
    audit = tmp_path / "absent" / "audit"
    done = sandboxd("serve", "--listen", f"unix:{tmp_path}/s", "--audit", audit)
    assert done.returncode == 125
    assert f"cannot write the audit to {audit}".encode() in done.stderr


# --- token ----------------------------------------------------------------------------------------


def test_a_token_is_shown_once_beside_the_line_that_knows_it() -> None:
    made = [CliRunner().invoke(token.command, ["judge"]) for _ in range(2)]
    first, second = (done.stdout.strip() for done in made)
    assert first != second
    assert len(base64.urlsafe_b64decode(first + "=")) == 32
    (caller,) = parse_callers(made[0].stderr, "x").all
    assert caller.name == "judge"
    assert parse_callers(made[0].stderr, "x").by_token(first.encode()) == caller
    assert first not in made[0].stderr


def test_a_token_is_made_for_a_name_alone() -> None:
    done = CliRunner().invoke(token.command, ["a b"])
    assert done.exit_code == 2
    assert "is no name" in done.output


# --- host -----------------------------------------------------------------------------------------


def test_host_json_describes_this_host_and_nothing_else() -> None:
    require_sandboxing()
    done = sandboxd("host", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    answer = Parse(done.stdout, pb.GetHostResponse())
    host = probe_host()
    assert answer.kernel_release == os.uname().release
    assert answer.slot_count == host.slot_count
    assert {policy.name for policy in answer.policies} == set(host.policies)


def test_host_shows_every_limit_and_every_weakness_to_people() -> None:
    require_sandboxing()
    done = sandboxd("host", env={"COLUMNS": "200"})
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    for name in probe_host().mechanisms:
        assert name in text
    for weakness in probe_host().weaknesses:
        assert weakness.subject in text


def test_host_of_a_server_that_is_not_there_is_125() -> None:
    done = sandboxd("host", "--json", "--address", "unix:/nonexistent/s.sock")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"sandboxd serve" in done.stderr


# --- policy ---------------------------------------------------------------------------------------


def test_policy_list_names_the_default() -> None:
    done = sandboxd("policy", "list")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"default" in done.stdout


def test_policy_show_gives_digest_rules_and_why() -> None:
    done = sandboxd("policy", "show", "default", env={"COLUMNS": "200"})
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert probe_host().policies["default"].digest in text
    assert "because" in text
    assert "execve" in text


def test_policy_show_of_an_unknown_one_names_those_on_offer() -> None:
    done = sandboxd("policy", "show", "no-such")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"no-such" in done.stderr
    assert b"default" in done.stderr


# --- all of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["run"], ["serve"], ["host"], ["policy"]])
def test_help_is_there_for_every_command(command: list[str]) -> None:
    done = sandboxd(*command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Usage: sandboxd")


def test_an_unknown_command_is_125() -> None:
    done = sandboxd("no-such")
    assert done.returncode == 125
    assert b"no-such" in done.stderr
