# Promise: thousands of calls that are reset as soon as they are made leave slots and memory free.
# client: yes

import os
import socket
import struct
import sys
import time

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
PATH = ADDRESS.removeprefix("unix:")
COUNT, GROWTH = 4000, 96 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
DATA, HEADERS, RESET = 0, 1, 3
FIELDS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/sandboxd.v1.RunnerService/Run",
    ":authority": "x",
    "content-type": "application/grpc",
    "te": "trailers",
}
BLOCK = b"".join(
    b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    for name, value in FIELDS.items()
)
JOB = pb.RunRequest(job=pb.Job(argv=["/bin/sleep", "100"])).SerializeToString()


def frame(kind, flags, stream, payload):
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def peak_of_server(client):
    pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(10)
    client.connect(PATH)
    before = peak_of_server(client)
    message = b"\x00" + len(JOB).to_bytes(4, "big") + JOB
    sent = 0
    try:
        client.sendall(PREFACE)
        for number in range(COUNT):
            stream = 2 * number + 1
            client.sendall(
                frame(HEADERS, 4, stream, BLOCK)
                + frame(DATA, 1, stream, message)
                + frame(RESET, 0, stream, bytes((0, 0, 0, 8)))
            )
            sent += 1
            client.setblocking(False)
            try:
                client.recv(1 << 20)
            except BlockingIOError:
                pass
            client.settimeout(10)
    except OSError as error:
        print("the server ended the connection:", os.strerror(error.errno or 0))
    growth = peak_of_server(client) - before
print("HELD" if growth < GROWTH else "BROKEN", f"{sent} resets cost {growth >> 20} MiB")
served = b""
deadline = time.monotonic() + 5
with sandboxd.SyncClient(ADDRESS) as client:
    while not served and time.monotonic() < deadline:
        try:
            served = client.run(["/bin/echo", "served"]).stdout.data
        except sandboxd.HostError:  # gRPC drops calls at random while too many wait to be looked at
            time.sleep(0.05)
print("HELD" if served == b"served\n" else "BROKEN", "others are served within seconds")
