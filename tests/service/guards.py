"""What the tests of callers share: files of callers, certificates, and calls that show a token."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from sandboxd.client import Tls
from sandboxd.server.tls import TlsFiles

HOST = "127.0.0.1"


def row(name: str, *lines: str, roles: str = '"run"', token: str | None = None) -> str:
    """Give one [[caller]] with a token, by default its own name's."""
    digest = hashlib.sha256((token or token_of(name)).encode()).hexdigest()
    tokens = f'tokens = ["sha256:{digest}"]'
    return "\n".join(("[[caller]]", f'name = "{name}"', f"roles = [{roles}]", tokens, *lines, ""))


def token_of(name: str) -> str:
    return f"token-of-{name}"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def written(path: Path, *rows: str) -> Path:
    """Write a file of callers that its owner alone may write."""
    path.write_text("\n".join(rows))
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and files made by it."""

    directory: Path
    ca: trustme.CA

    @classmethod
    def made(cls, directory: Path) -> Authority:
        directory.mkdir(exist_ok=True)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(directory / "ca.pem")
        return cls(directory, ca)

    def serve(self, *, mutual: bool = False) -> TlsFiles:
        """Give the server a certificate, in place of an earlier one."""
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        made = self.ca.issue_cert(HOST)
        made.private_key_and_cert_chain_pem.write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        authority = str(self.directory / "ca.pem") if mutual else None
        return TlsFiles(certificate=str(certificate), key=str(key), client_ca=authority)

    def client(self, *names: str, common_name: str | None = None) -> Tls:
        """Give what a client needs who trusts us; with names, a certificate that bears them."""
        ca = self.ca.cert_pem.bytes()
        if not names and common_name is None:
            return Tls(ca=ca)
        made = self.ca.issue_cert(*names, common_name=common_name)
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        return Tls(ca=ca, certificate=chain, key=made.private_key_pem.bytes())


async def code_of(
    address: str,
    method: str,
    metadata: Any = (),
    request: bytes = b"",
    credentials: grpc.ChannelCredentials | None = None,
) -> tuple[grpc.StatusCode, str]:
    """Call any method with one request; give the code that it ends or begins with, and the reason.

    To gRPC every method may have a stream of answers; one answer means OK.
    """
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = (
        grpc.aio.insecure_channel(address, options=options)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=options)
    )
    async with channel:
        call = channel.unary_stream(method)(request, metadata=metadata, timeout=30)
        try:
            if await call.read() is not grpc.aio.EOF:
                return grpc.StatusCode.OK, ""
        except grpc.aio.AioRpcError:
            pass  # told below
        code = await call.code()
        for key, value in await call.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                return code, _reason(value)
        return code, ""


def _reason(status: bytes) -> str:
    info = ErrorInfo()
    for detail in Status.FromString(status).details:
        if detail.Unpack(info):
            return info.reason
    return ""


def subordinate_uids() -> range:
    """Give the ids that this user may map into user namespaces."""
    import pwd  # noqa: PLC0415 - only here

    user = pwd.getpwuid(os.getuid()).pw_name
    for line in Path("/etc/subuid").read_text(encoding="utf-8").splitlines():
        owner, first, count = line.split(":")
        if owner in {user, str(os.getuid())}:
            return range(int(first), int(first) + int(count))
    return range(0)
