"""`sandboxd host`: what this host, or a server's, offers and enforces."""

from __future__ import annotations

import os
from typing import Any

import click

from sandboxd.cli.credentials import credential_options, credentials


@click.command(help="Show what this host, or the server at --address, offers and enforces.")
@click.option("--address", help="Ask this server instead.")
@credential_options
@click.option("--json", "as_json", is_flag=True, help="Print the GetHostResponse as JSON.")
@click.option("--config", "config_path", help="Configuration file.")
def command(
    address: str | None,
    config_path: str | None,
    *,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Print the description."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - `--help` must stay fast

    from sandboxd.server.wire import to_host_response  # noqa: PLC0415 - the same
    from sandboxd.v1 import runner_service_pb2 as pb  # noqa: PLC0415 - the same

    if address:
        response = _ask(address, options)
    else:
        from sandboxd.cli.config import load  # noqa: PLC0415 - the same
        from sandboxd.host import probe_host  # noqa: PLC0415 - the same

        host = probe_host(load(config_path, os.environ, {}).settings)
        response = to_host_response(host)
    assert isinstance(response, pb.GetHostResponse)  # noqa: S101 - for the type checker
    if as_json:
        click.echo(MessageToJson(response))
    else:
        from sandboxd.cli.tables import print_host  # noqa: PLC0415 - rich is slow to import

        print_host(response)


def _ask(address: str, options: dict[str, Any]) -> object:
    from sandboxd.client import SyncClient  # noqa: PLC0415 - only for a server

    with SyncClient(address, **credentials(options)) as client:
        return client.get_host_response()
