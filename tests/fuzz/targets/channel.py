"""A datagram on a channel is a message or is refused, and none of its descriptors stays behind."""

from __future__ import annotations

import array
import os
import socket
from contextlib import suppress

from sandboxd.runtime import channel as channels
from sandboxd.runtime.channel import Closed, ProtocolError

SEEDS = (
    b'\x00["ready",[]]',
    b'\x02["clone",["channel","sandbox"],1,[[0,1000,1]],5,["x",null,1.5,true]]',
    b"\x11+",
    b'\x09["ended",[],1,0,123456789,1000,2000,false]',
    b'\x03["start",["a","b","a"],{"x":[{}]},-1,NaN]',
)
_TYPES = (int, str, list, (str, type(None)), bool)


def check(data: bytes) -> None:
    """Send content with descriptors, as the first byte says: how many, and whether by memory."""
    how, content = data[0] if data else 0, data[1:]
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = channels.pair()
    with ours, theirs:
        theirs.settimeout(0)
        _send(ours, content[: channels.MAX_DATAGRAM_BYTES + 10], how)
        try:
            message = channels.receive(theirs)
        except (ProtocolError, Closed):
            pass
        else:
            assert isinstance(message.name, str)
            assert len(set(message.fds.values())) == len(message.fds)
            with suppress(ProtocolError):
                message.expect(*_TYPES[: how >> 5])
            message.close()
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor stayed behind"


def _send(channel: socket.socket, content: bytes, how: int) -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(how & 7)]
    if how & 16:  # what is too large for a datagram: in sealed memory, or in some that is not
        if how & 8:
            fds.append(os.memfd_create("open", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.write(fds[-1], content)
        else:
            fds.append(channels.sealed_memory(content))
        content = b"+"
    try:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        channel.sendmsg([content], ancillary if fds else [])
    finally:
        for fd in fds:
            os.close(fd)
