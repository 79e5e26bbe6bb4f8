"""The commands that talk to a server: which one, and as whom."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.credentials import credential_options, credentials

if TYPE_CHECKING:
    from collections.abc import Callable


def for_a_server(body: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a server; the command gets a client of it first."""

    @wraps(body)
    def connected(**options: Any) -> Any:  # noqa: ANN401 - click's options
        from sandboxd.client import SyncClient  # noqa: PLC0415 - `--help` must stay fast

        address, who = server_from(options)
        with SyncClient(address, **who) as client:
            return body(client, **options)

    return server_options(connected)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a server."""
    option = click.option("--address", help="The server; unset: the one of `sandboxd serve` here.")
    return option(credential_options(command))


def server_from(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take these options out; give the address and the other keywords of `Client`."""
    from sandboxd.cli.config import default_socket  # noqa: PLC0415 - `--help` must stay fast

    ours = {name: options.pop(name) for name in ("token_file", "ca", "cert", "key")}
    return options.pop("address") or default_socket(), credentials(ours)
