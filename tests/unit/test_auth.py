"""Who calls and whether they may, how often, and what TLS and addresses are refused."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.client import Tls
from sandboxd.errors import Busy, ForbiddenError, HostError, UnauthenticatedError
from sandboxd.model.caller import Caller, Role, Share
from sandboxd.server.access import ANY, RIGHTS, Access, Peer, foreign
from sandboxd.server.addresses import host_of, is_loopback
from sandboxd.server.callers import hash_of
from sandboxd.server.calls import Known
from sandboxd.server.rates import Bucket
from sandboxd.server.tls import Certificates, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

RUN = "/sandboxd.v1.RunnerService/Run"
TEXT = f"""
[[caller]]
name = "token"
roles = ["run"]
tokens = ["{hash_of("t")}"]
[[caller]]
name = "certificate"
roles = ["run"]
certificates = ["c"]
[[caller]]
name = "uid"
roles = ["run"]
uids = [{os.getuid()}, 77777]
"""
TCP, UNIX, GATED = "ipv4:127.0.0.1:1", "unix:", "unix-abstract:gate"


def peer(name: str) -> Peer:
    return Peer(name, {GATED: 77777}.get)


@pytest.fixture
def access(tmp_path: Path) -> Access:
    path = tmp_path / "callers.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    return Access(str(path))


BEARER: Any = (("user-agent", "x"), ("authorization", "Bearer t"))
WRONG: Any = (("authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("metadata", "name", "names", "by"),
    [
        (BEARER, TCP, (), "token"),
        (BEARER, TCP, ("c",), "token"),
        (BEARER, UNIX, (), "token"),
        ((), TCP, ("c",), "certificate"),
        ((), UNIX, (), "uid"),
        ((), GATED, (), "uid"),
    ],
)
def test_a_token_decides_then_a_certificate_then_the_user(
    access: Access, metadata: Any, name: str, names: tuple[str, ...], by: str
) -> None:
    known = access.know(metadata, peer(name), names)
    assert (known.caller.name, known.by, known.tenant) == (by, by, by)


@pytest.mark.parametrize(
    ("metadata", "name", "names", "reason"),
    [
        ((), TCP, (), "NO_CREDENTIALS"),
        (WRONG, TCP, (), "WRONG_CREDENTIALS"),
        (WRONG, TCP, ("c",), "WRONG_CREDENTIALS"),
        (WRONG, UNIX, (), "WRONG_CREDENTIALS"),
        ((("authorization", b"Bearer t"),), TCP, (), "WRONG_CREDENTIALS"),
        ((), TCP, ("x",), "WRONG_CREDENTIALS"),
    ],
)
def test_what_is_shown_and_wrong_is_never_passed_over(
    access: Access, metadata: Any, name: str, names: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        access.know(metadata, peer(name), names)
    assert caught.value.reason == reason


def test_without_a_file_the_owner_may_all_and_loopback_may_run() -> None:
    access = Access()
    owner = access.know((), peer(UNIX), ())
    local = access.know((), peer(TCP), ())
    assert (owner.caller.name, owner.caller.roles, owner.tenant) == ("owner", ANY, "unix")
    assert (local.caller.name, local.caller.roles) == ("local", frozenset({Role.RUN}))
    assert (local.by, local.tenant) == ("address", "ipv4:127.0.0.1")
    access.reload(has_gate=False)
    assert access.callers is None


@pytest.mark.parametrize("method", RIGHTS)
@pytest.mark.parametrize("role", Role)
def test_each_right_takes_its_role(method: str, role: Role) -> None:
    known = Known(Caller(name="x", roles=frozenset({role})), "x", "uid")
    if role in RIGHTS[method]:
        Access().check(known, method)
        return
    with pytest.raises(ForbiddenError, match="it takes the role run"):
        Access().check(known, method)


def test_what_is_not_in_the_table_nobody_may() -> None:
    known = Known(Caller(name="x", roles=ANY), "x", "uid")
    with pytest.raises(ForbiddenError, match="it takes the role that nobody has"):
        Access().check(known, "/sandboxd.v1.RunnerService/Fresh")


def test_only_a_gate_lets_other_users_in(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(TEXT.replace(", 77777", ""))
    path.chmod(0o600)
    access = Access(str(path))
    assert not foreign(access.callers)
    path.write_text(TEXT)
    with pytest.raises(HostError, match="restart the server to let other users in"):
        access.reload(has_gate=False)
    assert not foreign(access.callers)
    access.reload(has_gate=True)
    assert foreign(access.callers) == {77777}


# --- how often ------------------------------------------------------------------------------------


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_each_callers_own_and_survives_a_reload(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "callers.toml"
    path.write_text(TEXT)
    path.chmod(0o600)
    access = Access(str(path), clock)
    a, b = (
        Known(Caller(name=n, roles=ANY, share=Share(rate=2, burst=2)), n, "token") for n in "ab"
    )
    for known in (a, a, b):
        access.check(known, RUN)
    access.reload(has_gate=True)
    with pytest.raises(Busy) as caught:
        access.check(a, RUN)
    assert (caught.value.reason, caught.value.retry_after) == (
        "RATE_EXCEEDED",
        timedelta(seconds=0.5),
    )
    access.check(b, RUN)
    clock.now += 0.5
    access.check(a, RUN)
    with pytest.raises(Busy):
        access.check(a, RUN)


def test_a_changed_rate_holds_at_once() -> None:
    access = Access(clock=Clock())
    slow, fast = (
        Known(Caller(name="a", roles=ANY, share=Share(rate=rate, burst=rate)), "a", "token")
        for rate in (1, 5)
    )
    access.check(slow, RUN)
    with pytest.raises(Busy):
        access.check(slow, RUN)
    access.check(fast, RUN)


steps = st.lists(st.floats(0, 10), max_size=50)


@given(st.floats(0.01, 100), st.integers(1, 20), steps)
def test_a_bucket_never_lets_more_through_than_rate_and_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    now, passed, bucket = 0.0, 0, Bucket(rate, burst, 0)
    for pause in pauses:
        now += pause
        passed += bucket.take(now) is None
    assert passed <= burst + rate * now + 1e-6


@given(st.floats(0.01, 100), st.integers(1, 20))
def test_after_the_time_that_it_names_a_bucket_lets_one_through(rate: float, burst: int) -> None:
    bucket = Bucket(rate, burst, 0)
    assert [bucket.take(0) for _ in range(burst)] == [None] * burst
    wait = bucket.take(0)
    assert wait is not None
    assert bucket.take(wait.total_seconds() + 1e-5) is None


# --- addresses and TLS ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "stays"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("[::1]", True),
        ("localhost", True),
        ("localhost.example.org", False),
        ("0.0.0.0", False),  # noqa: S104 - looked at, not listened on
        ("[::]", False),
        ("[::ffff:192.0.2.1]", False),
        ("192.0.2.1", False),
        ("", False),
    ],
)
def test_only_loopback_stays_on_this_machine(host: str, *, stays: bool) -> None:
    assert is_loopback(host) is stays


@pytest.mark.parametrize("address", ["", "a", "a:", ":1", "a:b", "a:65536", "a:\u0661"])
def test_what_is_no_address_has_no_host(address: str) -> None:
    assert host_of(address) == ""


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    files = TlsFiles(certificate=str(certificate), key=str(key))
    with pytest.raises(HostError, match=r"cannot use .*k\.pem: No such file"):
        Certificates(files)
    for path in (certificate, key):
        path.write_text("no certificate")
    key.chmod(0o604)
    with pytest.raises(HostError, match=r"k\.pem: every user may read it; chmod o-rwx "):
        Certificates(files)
    key.chmod(0o600)
    with pytest.raises(HostError, match=r"cannot use .*c\.pem: with the key .*k\.pem: ") as caught:
        Certificates(files)
    assert caught.value.reason == "TLS_INVALID"


def test_what_a_client_holds_shows_no_key() -> None:
    assert "s3cret" not in repr(Tls(key=b"s3cret"))
