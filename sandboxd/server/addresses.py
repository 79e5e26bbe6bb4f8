"""Addresses, `unix:PATH` or `HOST:PORT`: what they are, and which stay on this machine; pure."""

from __future__ import annotations

import ipaddress

UNIX = "unix:"


def host_of(address: str) -> str:
    """Give the HOST of a HOST:PORT, as it is written there; empty if it is none."""
    host, _, port = address.rpartition(":")
    return host if port.isascii() and port.isdecimal() and int(port) <= 65535 else ""


def is_loopback(host: str) -> bool:
    """Tell whether a HOST never leads beyond this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name may lead anywhere
        return False
