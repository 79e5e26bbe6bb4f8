"""TCP by TLS: tokens and certificates, whom it lets in, and certificates that change."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from guards import Authority, bearer, code_of, row, token_of, written
from post import daemon, posted

import sandboxd
from sandboxd.client import Client, SyncClient, Tls
from sandboxd.errors import ForbiddenError, HostError, UnauthenticatedError
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("sandboxing_host")

EVERYWHERE = "0.0.0.0:0"
GET_HOST = "/sandboxd.v1.RunnerService/GetHost"


async def test_a_token_by_tls_is_known(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "a")
    callers = written(tmp_path / "callers.toml", row("runner"))
    async with posted(tmp_path, callers, authority.serve()) as post:
        async with Client(post.tcp, token=token_of("runner"), tls=authority.client()) as client:
            assert (await client.run(["true"])).ending == Exited(0)
        async with Client(post.tcp, tls=authority.client()) as client:
            with pytest.raises(UnauthenticatedError):
                await client.get_host()
        async with Client(post.tcp, token=token_of("runner")) as client:
            with pytest.raises(HostError, match="cannot reach"):
                await client.get_host()
        stranger = Authority.made(tmp_path / "b").client()
        async with Client(post.tcp, token=token_of("runner"), tls=stranger) as client:
            with pytest.raises(HostError, match="cannot reach"):
                await client.get_host()


async def test_a_certificate_names_its_caller(tmp_path: Path) -> None:
    authority, other = Authority.made(tmp_path / "a"), Authority.made(tmp_path / "b")
    rows = (
        row("judge", 'certificates = ["judge.example"]'),
        row("plugin", 'certificates = ["CI plugin"]', roles='"admin"'),
    )
    callers = written(tmp_path / "callers.toml", *rows)
    async with posted(tmp_path, callers, authority.serve(mutual=True)) as post:
        for tls, error in (
            (authority.client("judge.example"), None),
            (authority.client("x.example", common_name="CI plugin"), ForbiddenError),
            (authority.client("x.example"), UnauthenticatedError),
            (authority.client("judge.example", common_name="CI plugin"), UnauthenticatedError),
            (authority.client(), HostError),
            (Tls(ca=authority.client().ca, **pair(other.client("judge.example"))), HostError),
        ):
            with ExitStack() as expected:
                if error:
                    expected.enter_context(pytest.raises(error))
                async with Client(post.tcp, tls=tls) as client:
                    assert (await client.run(["true"])).ending == Exited(0)
        tls = authority.client("x.example")  # whom a token names, beside a certificate of nobody
        with SyncClient(post.tcp, token=token_of("judge"), tls=tls) as client:
            assert (await asyncio.to_thread(client.get_host)).version == sandboxd.__version__


def pair(tls: Tls) -> dict[str, Any]:
    return {"certificate": tls.certificate, "key": tls.key}


async def test_tls_serves_beyond_loopback_and_without_it_nothing_does(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "a")
    callers = written(tmp_path / "callers.toml", row("runner"))
    for options in ((), ("--callers", str(callers))):
        with pytest.raises(AssertionError, match="needs authentication"):
            daemon(tmp_path, "--listen", EVERYWHERE, *options).__enter__()
    config = tmp_path / "sandboxd.toml"
    files = authority.serve()
    config.write_text(f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n')
    with pytest.raises(AssertionError, match=r"cannot use \[tls\] without callers"):
        daemon(tmp_path, "--listen", EVERYWHERE, "--config", str(config)).__enter__()
    options = ("--listen", EVERYWHERE, "--config", str(config), "--callers", str(callers))
    with daemon(tmp_path, *options):
        port = (tmp_path / "log").read_text().partition("0.0.0.0:")[2].split()[0]
        address = f"127.0.0.1:{port}"
        async with Client(address, token=token_of("runner"), tls=authority.client()) as client:
            assert (await client.run(["true"])).ending == Exited(0)


async def test_a_reload_brings_new_certificates_to_new_connections(tmp_path: Path) -> None:
    authority, other = Authority.made(tmp_path / "a"), Authority.made(tmp_path / "b")
    callers = written(tmp_path / "callers.toml", row("runner"))
    files = authority.serve()
    async with posted(tmp_path, callers, files) as post:

        async def trusted(who: Authority) -> bool:
            credentials = grpc.ssl_channel_credentials(who.client().ca)
            code, _ = await code_of(
                post.tcp, GET_HOST, bearer(token_of("runner")), credentials=credentials
            )
            return code is grpc.StatusCode.OK

        assert (await trusted(authority), await trusted(other)) == (True, False)
        fresh = other.serve()
        shutil.copy(fresh.key, files.key)
        post.server.reload()  # a key of another certificate: a mistake
        assert (await trusted(authority), await trusted(other)) == (True, False)
        shutil.copy(fresh.certificate, files.certificate)
        post.server.reload()
        assert (await trusted(authority), await trusted(other)) == (False, True)
