"""Certificates: read and checked at the start and whenever asked; gRPC gets them while it runs."""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from typing import NoReturn

import grpc

from sandboxd.errors import HostError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the certificates lie, in PEM."""

    certificate: str
    """The server's, and those between it and its authority."""
    key: str
    client_ca: str | None = None
    """Authorities; only clients with a certificate of theirs may connect. Unset: any client may."""


class Certificates:
    """The certificates that hold now, for any number of listeners."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the certificates.

        Raises:
            HostError: a file cannot be read, or is not what it should be (TLS_INVALID).

        """
        self._files = files
        self._current = _read(files)

    def reload(self) -> None:
        """Read the certificates again; new connections get them. If one is wrong, all stays.

        Raises:
            HostError: a file cannot be read, or is not what it should be (TLS_INVALID).

        """
        self._current = _read(self._files)

    def credentials(self) -> grpc.ServerCredentials:
        """Give the credentials of one listener, which follow each reload."""
        given = self._current

        def changed() -> grpc.ServerCertificateConfiguration | None:
            """Be asked by gRPC, in a thread of its own, before each handshake."""
            nonlocal given
            if given is self._current:
                return None
            given = self._current
            return given

        return grpc.dynamic_ssl_server_credentials(
            given,
            changed,  # type: ignore[arg-type]  # None is for "as before"; the stub does not know
            require_client_authentication=self._files.client_ca is not None,
        )


def _read(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    if _mode(files.key) & stat.S_IRWXO:
        _refuse(files.key, "every user may read it", f"chmod o-rwx {files.key}")
    _check(files)
    chain = _content(files.certificate)
    authorities = _content(files.client_ca) if files.client_ca else None
    return grpc.ssl_server_certificate_configuration([(_content(files.key), chain)], authorities)


def _check(files: TlsFiles) -> None:
    """See to it that they are certificates and belong together: gRPC would only say "failed"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase would ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        _refuse(files.certificate, f"with the key {files.key}: {_cause(error)}")
    if files.client_ca:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            _refuse(files.client_ca, _cause(error))


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "is not usable"
    return str(reason).replace("_", " ").lower()


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        _refuse(path, error.strerror or "")


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        _refuse(path, error.strerror or "")


def _refuse(path: str, cause: str, remedy: str = "") -> NoReturn:
    remedy = remedy or "give PEM files that the server's user may read"
    raise HostError("TLS_INVALID", f"cannot use {path}: {cause}", remedy)
