"""What shows a server who we are: the options of every command that calls one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOKEN_VARIABLE = "SANDBOXD_TOKEN"  # noqa: S105 - a name
_OPTIONS = (
    click.option("--token-file", help=f"File that holds our token; unset: ${TOKEN_VARIABLE}."),
    click.option("--ca", help="Authorities that may vouch for the server: use TLS."),
    click.option("--cert", help="Our certificate, for a server that asks for one."),
    click.option("--key", help="The key of our certificate."),
)


def credential_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; a token itself is none, as everybody may read a command line."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keywords of `Client` that the options and the environment mean."""
    from sandboxd.client import Tls  # noqa: PLC0415 - only for a server

    paths = {"ca": options["ca"], "certificate": options["cert"], "key": options["key"]}
    if bool(options["cert"]) != bool(options["key"]):
        raise click.UsageError("--cert and --key belong together")
    try:
        token = os.environ.get(TOKEN_VARIABLE)
        if options["token_file"]:
            token = Path(options["token_file"]).read_text(encoding="ascii").strip()
        tls = Tls.from_files(**paths) if any(paths.values()) else None
    except OSError as error:
        raise click.BadParameter(f"cannot read {error.filename}: {error.strerror}") from error
    except UnicodeDecodeError:
        text = f"cannot use {options['token_file']}: a token is ASCII text"
        raise click.BadParameter(text) from None
    return {"token": token, "tls": tls}
