"""How a client reaches its server: the channel's options, what shows who we are, and errors.

A token never travels in the clear. What a call ended with becomes the tree of `sandboxd.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import grpc
from google.rpc.status_pb2 import Status

from sandboxd.errors import HostError
from sandboxd.server import wire
from sandboxd.server.addresses import UNIX, host_of, is_loopback

if TYPE_CHECKING:
    from datetime import timedelta

OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own: each has one worker
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # a sandbox server is reached directly
)

DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a client needs for TLS, in PEM."""

    ca: bytes | None = None
    """The authorities that may vouch for the server; unset: those that gRPC trusts."""
    certificate: bytes | None = None
    """Our own, where the server asks for one."""
    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_files(
        cls, ca: str | None = None, certificate: str | None = None, key: str | None = None
    ) -> Self:
        """Read the files that are named.

        Raises:
            OSError: one cannot be read.

        """
        ours, theirs = (certificate, key), ca
        content = [None if path is None else Path(path).read_bytes() for path in (theirs, *ours)]
        return cls(ca=content[0], certificate=content[1], key=content[2])


class Ended(Protocol):
    """A call that ended with an error, of either kind of channel."""

    def code(self) -> grpc.StatusCode:
        """Give its status."""

    def details(self) -> str | None:
        """Give its text."""

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - each channel has its own type
        """Give what came with its end."""


def metadata_for(address: str, token: str | None, tls: Tls | None) -> tuple[tuple[str, str], ...]:
    """Give the metadata that show who we are; a token never travels in the clear."""
    if token is None:
        return ()
    if tls is None and not address.startswith(UNIX) and not is_loopback(host_of(address)):
        raise HostError(
            "TOKEN_IN_CLEAR",
            f"cannot send a token to {address} without TLS: everybody on the way could read it",
            "give `tls`, on the command line --ca",
        )
    if not token.isascii() or not token.isprintable():  # else gRPC fails at each call
        text = "cannot send this token: it has characters that no token has"
        raise HostError("TOKEN_INVALID", text, "give it as `sandboxd token` printed it")
    return (("authorization", f"Bearer {token}"),)


def credentials_of(tls: Tls) -> grpc.ChannelCredentials:
    """Give the same as gRPC takes it."""
    return grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)


def seconds(timeout: timedelta | None) -> float | None:
    """Give a timeout as gRPC takes it."""
    return None if timeout is None else timeout.total_seconds()


def error_of(call: Ended, address: str) -> Exception:
    """Give the error that a call ended with; without details it is gRPC's own."""
    code, message = call.code(), call.details() or ""
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            return wire.error_from(Status.FromString(value))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimeoutError("cannot wait longer for the answer: the timeout passed")
    # INTERNAL is gRPC's word for a connection that breaks while it still sends.
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}:
        return HostError(
            "UNREACHABLE",
            f"cannot reach a sandboxd server at {address}: {message}",
            "start one there with `sandboxd serve`, or correct the address",
        )
    return wire.error_from(Status(code=code.value[0], message=message))
