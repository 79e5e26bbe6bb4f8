"""The network of a sandbox: an empty namespace, with the loopback device up where asked.

Decides the netlink request, encoded by pyroute2 in the daemon. Does nothing but send those bytes
and check the kernel's answer, so that no cloned process ever imports pyroute2.
"""

from __future__ import annotations

import functools
import os
import socket
import struct

from sandboxd.model.tape import Operation, Verb

_LOOPBACK_INDEX = 1  # the first device of every network namespace
_NLMSG_ERROR = 2
_ERROR_REPLY = struct.Struct("=IHHIIi")  # struct nlmsghdr, then the errno


def loopback_up() -> Operation:
    """Bring the loopback device up."""
    return Operation("network", "request_netlink", (_loopback_request().hex(),))


@functools.cache
def _loopback_request() -> bytes:
    # Imported here: 0.1 s that only a job with a network pays, once.
    from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST  # noqa: PLC0415
    from pyroute2.netlink.rtnl import RTM_NEWLINK  # noqa: PLC0415
    from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg  # noqa: PLC0415

    message = ifinfmsg()
    message["index"] = _LOOPBACK_INDEX
    message["flags"] = message["change"] = IFF_UP
    message["header"]["type"] = RTM_NEWLINK
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK
    message["header"]["sequence_number"] = 1
    message.encode()
    return bytes(message.data)


# --- do -------------------------------------------------------------------------------------------


def request_netlink(request: str) -> None:
    """Send one route netlink request (as hex) and raise the errno that the kernel answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as route:
        route.send(bytes.fromhex(request))
        answer = route.recv(4096)
    kind, number = _ERROR_REPLY.unpack_from(answer)[1::4]
    if kind != _NLMSG_ERROR or number:
        raise OSError(-number, os.strerror(-number), "netlink request")


VERBS = {"request_netlink": Verb(request_netlink, "bring the loopback device up (netlink {0})")}
