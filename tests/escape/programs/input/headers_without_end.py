# Promise: headers continued for ever, or blown up from a table, cost the server bounded memory.
# client: yes

import os
import socket
import struct
import sys

import sandboxd

ADDRESS = sys.argv[1]
PATH = ADDRESS.removeprefix("unix:")
GROWTH = 64 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
HEADERS, CONTINUATION = 1, 9


def frame(kind, flags, stream, payload):
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name, value, first=b"\x00"):
    rest = len(value) - 0x7F
    size = bytes((0x7F, rest & 0x7F | 0x80, rest >> 7)) if rest >= 0 else bytes((len(value),))
    return first + bytes((len(name),)) + name + size + value


def continued():
    yield frame(HEADERS, 0, 1, literal(b"a", b"x" * 8000))
    for _ in range(8000):
        yield frame(CONTINUATION, 0, 1, literal(b"a", b"x" * 8000))


def blown_up():
    indexed = b"\xbe" * 16000  # the newest entry of the table, 4000 bytes, 16000 times
    yield frame(HEADERS, 0, 1, literal(b"a", b"x" * 3900, b"\x40") + indexed[:10000])
    for _ in range(200):
        yield frame(CONTINUATION, 0, 1, indexed)


def many_small():
    yield frame(HEADERS, 0, 1, b"\x00\x01a\x00" * 4000)
    for _ in range(1000):
        yield frame(CONTINUATION, 0, 1, b"\x00\x01a\x00" * 4000)


def peak_of_server(client):
    pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


for attack in (continued, blown_up, many_small):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(PATH)
        before, sent = peak_of_server(client), 0
        try:
            client.sendall(PREFACE)
            for piece in attack():
                client.sendall(piece)
                sent += len(piece)
            how = "were read"
        except OSError as error:
            how = os.strerror(error.errno or 0)
        growth = peak_of_server(client) - before
    kept = growth < GROWTH
    print(
        "HELD" if kept else "BROKEN", f"{attack.__name__}: {sent} bytes {how}, {growth >> 20} MiB"
    )
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
