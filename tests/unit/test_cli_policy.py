"""`sandboxd policy check` and `import`: what holds is shown, what is wrong is named and mended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli import sandboxd

from sandboxd.kernel.seccomp import policies_directory

if TYPE_CHECKING:
    from pathlib import Path

MINE = """description = "Mine."
extends = "default"

[[rule]]
syscalls = ["socket"]
action = "errno"
errno = "EAFNOSUPPORT"
because = "it talks to nobody"
"""


def checked(path: Path, text: str, *options: str) -> tuple[int, str, str]:
    path.write_text(text, encoding="utf-8")
    done = sandboxd("policy", "check", path, *options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_policy_that_holds_is_summed_up(tmp_path: Path) -> None:
    code, text, errors = checked(tmp_path / "mine.toml", MINE)
    assert (code, errors) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert shown["policy"] == "mine"
    assert len(shown["digest"]) == 64
    assert int(shown["rules"]) > 1
    assert "on x86_64" in shown["instructions"]
    assert "on aarch64" in shown["instructions"]


@pytest.mark.parametrize("name", sorted(p.stem for p in policies_directory().glob("*.toml")))
def test_every_shipped_policy_holds(name: str) -> None:
    done = sandboxd("policy", "check", policies_directory() / f"{name}.toml")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"errno"', '"erno"', 4, "known are allow, errno"),
        ('"socket"', '"sockett"', 5, "mend its spelling"),
        ('"default"', '"ghost"', 2, "not there"),
        ('"it talks to nobody"', '"no"', 4, "say in some words"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    path = tmp_path / "mine.toml"
    code, text, errors = checked(path, MINE.replace(old, new))
    assert (code, text) == (1, "")
    assert errors.startswith(f"sandboxd: cannot use policy mine ({path}, line {line}): ")
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_policy_may_extend_one_of_a_configured_directory(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "base.toml").write_text(MINE, encoding="utf-8")
    config = tmp_path / "sandboxd.toml"
    config.write_text(f'policy_directories = ["{tmp_path}/ours"]', encoding="utf-8")
    text = MINE.replace('"default"', '"base"').replace("EAFNOSUPPORT", "EACCES")
    assert checked(tmp_path / "mine.toml", text, "--config", str(config))[0] == 0
    code, _, errors = checked(tmp_path / "mine.toml", text)
    assert code == 1
    assert "'base', which is not there" in errors


def test_a_mistake_in_an_extended_policy_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    base = tmp_path / "ours" / "base.toml"
    base.write_text(MINE.replace('"socket"', "7"), encoding="utf-8")
    config = tmp_path / "sandboxd.toml"
    config.write_text(f'policy_directories = ["{tmp_path}/ours"]', encoding="utf-8")
    text = MINE.replace('"default"', '"base"')
    code, _, errors = checked(tmp_path / "mine.toml", text, "--config", str(config))
    assert code == 1
    assert f"cannot use policy base ({base}, line 4)" in errors


def test_the_name_of_another_policy_is_taken(tmp_path: Path) -> None:
    code, _, errors = checked(tmp_path / "default.toml", MINE)
    assert code == 1
    assert "has the same name; rename it" in errors


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    done = sandboxd("policy", "check", path)
    assert done.returncode == 1
    assert b"unreadable" in done.stderr


def test_an_imported_profile_is_a_policy_that_holds(tmp_path: Path) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"}],
    }
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile), encoding="utf-8")
    done = sandboxd("policy", "import", path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sandboxd("policy", "import", "-", stdin=path.read_bytes()).stdout == done.stdout
    code, text, errors = checked(tmp_path / "imported.toml", done.stdout.decode())
    assert (code, errors) == (0, "")
    assert "rules         1" in text


def test_a_profile_that_cannot_be_imported_is_an_error() -> None:
    done = sandboxd("policy", "import", "-", stdin=b'{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"cannot import the profile: its defaultAction is 'SCMP_ACT_ALLOW'" in done.stderr
