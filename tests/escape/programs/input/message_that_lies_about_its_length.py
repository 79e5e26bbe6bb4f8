# Promise: a message that claims to be larger, or pressed, than it may be gets no memory for it.
# client: yes

import re
import socket
import struct
import sys

import sandboxd

ADDRESS = sys.argv[1]
PATH = ADDRESS.removeprefix("unix:")
GROWTH = 64 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
DATA, HEADERS, RESET, GOAWAY, END_STREAM = 0, 1, 3, 7, 1
FIELDS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/sandboxd.v1.RunnerService/Run",
    ":authority": "x",
    "content-type": "application/grpc",
    "te": "trailers",
}
LIES = {
    "4 GiB": (b"\x00\xff\xff\xff\xff" + b"x" * 100, {}),
    "80 MiB": (b"\x00" + (80 << 20).to_bytes(4, "big") + b"x" * 100, {}),
    "pressed by nothing": (b"\x01\x00\x00\x00\x04xxxx", {}),
    "pressed by a strange way": (b"\x01\x00\x00\x00\x04xxxx", {"grpc-encoding": "snappy"}),
    "pressed, but not so": (b"\x01\x00\x00\x00\x04xxxx", {"grpc-encoding": "gzip"}),
    "a flag of no meaning": (b"\x7f\x00\x00\x00\x04xxxx", {}),
    "shorter than it says": (b"\x00\x00\x00\x00\x40xxxx", {}),
    "no message at all": (b"", {}),
    "two messages": (b"\x00\x00\x00\x00\x00" * 2, {}),
}


def frame(kind, flags, stream, payload):
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(fields):
    return b"".join(
        b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields.items()
    )


def peak_of_server(client):
    pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def answer(client):
    """Give the status that ends stream 1, or how else it ended."""
    received = b""
    while piece := client.recv(65536):
        received += piece
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            size = int.from_bytes(received[:3], "big")
            kind, flags, payload = received[3], received[4], received[9 : 9 + size]
            received = received[9 + size :]
            if kind == HEADERS and flags & END_STREAM:
                found = re.search(rb"grpc-status.(\d+)", payload, re.DOTALL)
                return f"status {found[1].decode()}" if found else "an end"
            if kind in {RESET, GOAWAY}:
                return "reset"
    return "closed"


for what, (message, more) in LIES.items():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(PATH)
        before = peak_of_server(client)
        client.sendall(
            PREFACE
            + frame(HEADERS, 4, 1, block(FIELDS | more))
            + frame(DATA, END_STREAM, 1, message)
        )
        try:
            ended = answer(client)
        except OSError as error:
            ended = f"no answer: {error}"
        growth = peak_of_server(client) - before
    kept = ended != "status 0" and not ended.startswith("no") and growth < GROWTH
    print("HELD" if kept else "BROKEN", f"{what}: {ended}, {growth >> 20} MiB more")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
