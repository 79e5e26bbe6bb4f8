"""The file of callers: what it means, and a clear word for everything that can be wrong with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import HostError
from sandboxd.model.caller import WHOLE, Caller, Role, Share
from sandboxd.server.access import read_callers
from sandboxd.server.callers import Callers, hash_of, parse_callers

if TYPE_CHECKING:
    from pathlib import Path

A, B = hash_of("a"), hash_of("b")
HEAD = '[[caller]]\nname = "judge"\nroles = ["run"]\n'
KNOWN = HEAD + "uids = [5]\n"


def test_everything_that_can_be_said_of_callers() -> None:
    text = f"""
[[caller]]
name = "judge"
roles = ["run"]
tokens = ["{A}", "{B}"]
certificates = ["judge.example", "Judge 1"]
uids = [1000, 0]
[caller.share]
slots = 2
memory_bytes = 4_294_967_296
queue_places = 0
blob_bytes = 1_000
rate = 2.5
burst = 7

[[caller]]
name = "operator"
roles = ["admin", "run"]
uids = [1001]
"""
    judge, operator = parse_callers(text, "x").all
    assert judge == Caller(
        name="judge",
        roles=frozenset({Role.RUN}),
        token_hashes=(hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()),
        certificates=("judge.example", "Judge 1"),
        uids=(1000, 0),
        share=Share(
            slots=2, memory_bytes=4 << 30, queue_places=0, blob_bytes=1000, rate=2.5, burst=7
        ),
    )
    assert (operator.roles, operator.share) == (frozenset(Role), WHOLE)


def test_a_file_without_callers_lets_nobody_in() -> None:
    assert parse_callers("", "x") == Callers()


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (1, 1), (2.5, 3)])
def test_without_a_burst_a_second_may_come_at_once(rate: float, burst: int) -> None:
    (caller,) = parse_callers(f"{KNOWN}share.rate = {rate}", "x").all
    assert caller.share == Share(rate=float(rate), burst=burst)


MISTAKES = {
    "no TOML": ("[[caller", "Expected"),
    "an unknown table": ("[callers]", "'callers' is not known; known are: caller"),
    "one table": ('[caller]\nname = "x"', "caller must be tables, each headed [[caller]]"),
    "no name": ("[[caller]]", "caller 1: name must be"),
    "a name with a space": ('[[caller]]\nname = "a b"', "caller 1: name must be"),
    "a long name": (f'[[caller]]\nname = "{"x" * 65}"', "caller 1: name must be"),
    "an unknown key": (KNOWN + "token = 1", "caller 1 (judge): 'token' is not known"),
    "no roles": ('[[caller]]\nname = "a"\nuids = [1]', "roles must name at least one of run, a"),
    "empty roles": ('[[caller]]\nname = "a"\nroles = []\nuids = [1]', "roles must name at least"),
    "an unknown role": ('[[caller]]\nname = "a"\nroles = ["root"]', "'root' is none of run, admin"),
    "a role alone": ('[[caller]]\nname = "a"\nroles = "run"', "roles must be a list of texts"),
    "nothing to know it by": (HEAD, "one of tokens, certificates, uids must say"),
    "nothing in it": (HEAD + "tokens = []", "one of tokens, certificates, uids must say"),
    "an open token": (HEAD + 'tokens = ["s3cret"]', "tokens[0] must be sha256: and 64"),
    "a short hash": (HEAD + f'tokens = ["{A}", "{A[:-1]}"]', "tokens[1] must be sha256: and 64"),
    "an empty name": (HEAD + 'certificates = [""]', "certificates must be a list of texts"),
    "a user by name": (HEAD + 'uids = ["root"]', "uids must be a whole number, at least 0"),
    "a uid alone": (HEAD + "uids = 5", "uids must be a list of numbers"),
    "a negative uid": (HEAD + "uids = [-1]", "uids must be a whole number"),
    "nobody's uid": (HEAD + "uids = [4294967295]", "uids must be a whole number"),
    "a truth": (HEAD + "uids = [true]", "uids must be a whole number"),
    "no share": (KNOWN + "share = 5", "share must be a table"),
    "an unknown share": (
        KNOWN + "share.blobs = 5",
        "'blobs' is not known; known are: blob_bytes, burst, mem",
    ),
    "no room for blobs": (
        KNOWN + "share.blob_bytes = -1",
        "share.blob_bytes must be a whole number",
    ),
    "no slots": (KNOWN + "share.slots = 0", "share.slots must be a whole number, at least 1"),
    "text": (KNOWN + 'share.memory_bytes = "1G"', "share.memory_bytes must be a whole number"),
    "no rate": (KNOWN + "share.rate = 0", "share.rate must be above zero"),
    "rate without end": (KNOWN + "share.rate = inf", "share.rate must be above zero"),
    "no number": (KNOWN + "share.rate = nan", "share.rate must be above zero"),
    "a burst alone": (KNOWN + "share.burst = 5", "share.burst needs share.rate"),
    "a name twice": (KNOWN + HEAD + "uids = [6]", "caller 2 (judge): the name is also that of c"),
    "a uid twice": (KNOWN + KNOWN.replace("judge", "b"), "uid 5 is also that of caller 1"),
    "a token twice": (
        HEAD + f'tokens = ["{A}"]\n' + HEAD.replace("judge", "b") + f'tokens = ["{A}"]',
        "caller 2 (b): a token is also that of caller 1",
    ),
    "a certificate twice": (
        HEAD + 'certificates = ["c"]\n' + HEAD.replace("judge", "b") + 'certificates = ["c"]',
        "caller 2 (b): certificate 'c' is also that of caller 1",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_is_named_with_its_place(case: str) -> None:
    text, named = MISTAKES[case]
    with pytest.raises(HostError) as caught:
        parse_callers(text, "callers.toml")
    assert caught.value.reason == "CALLERS_INVALID"
    assert str(caught.value).startswith("cannot use callers.toml: ")
    assert named in str(caught.value)
    assert "s3cret" not in str(caught.value), "somebody may have put the token itself there"


@given(st.text(max_size=200))
def test_no_text_is_more_than_a_mistake(text: str) -> None:
    try:
        parse_callers(text, "x")
    except HostError as error:
        assert error.reason == "CALLERS_INVALID"  # noqa: PT017 - most texts are mistakes


# --- whose it is ----------------------------------------------------------------------------------

THREE = parse_callers(
    f"""
[[caller]]
name = "a"
roles = ["run"]
tokens = ["{A}"]
certificates = ["a.example", "both"]
uids = [1]
[[caller]]
name = "b"
roles = ["run"]
tokens = ["{hash_of("older")}", "{B}"]
certificates = ["b.example"]
uids = [2, 3]
""",
    "x",
)


@pytest.mark.parametrize(
    ("token", "name"), [(b"a", "a"), (b"b", "b"), (b"older", "b"), (b"c", None), (b"", None)]
)
def test_a_token_is_its_callers(token: bytes, name: str | None) -> None:
    found = THREE.by_token(token)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["a.example"], "a"),
        (["x", "b.example"], "b"),
        (["both", "a.example"], "a"),
        (["a.example", "b.example"], None),
        (["A.example"], None),
        ([], None),
    ],
)
def test_a_certificate_is_one_callers_or_nobodys(names: list[str], name: str | None) -> None:
    found = THREE.by_certificate(names)
    assert (found.name if found else None) == name


def test_a_uid_is_its_callers() -> None:
    assert [(c.name if (c := THREE.by_uid(uid)) else None) for uid in range(5)] == [
        None,
        "a",
        "b",
        "b",
        None,
    ]
    assert THREE.uids == {1, 2, 3}


def test_a_caller_shows_no_hash() -> None:
    assert A.removeprefix("sha256:")[:8] not in repr(THREE)


# --- the file -------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(KNOWN)
    path.chmod(0o640)
    assert [caller.name for caller in read_callers(str(path)).all] == ["judge"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(KNOWN)
    path.chmod(mode)
    with pytest.raises(HostError, match=r"others may write it; chown root .*; chmod 640 "):
        read_callers(str(path))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    with pytest.raises(HostError, match="No such file or directory; let the server's user read"):
        read_callers(str(path))
    path.write_bytes(b"#" * ((1 << 20) + 1))
    path.chmod(0o600)
    with pytest.raises(HostError, match="it has more than 1048576 bytes"):
        read_callers(str(path))
    path.write_bytes(b"#\xff")
    with pytest.raises(HostError, match="it is no UTF-8"):
        read_callers(str(path))
    path.chmod(0)
    with pytest.raises(HostError, match="Permission denied"):
        read_callers(str(path))
