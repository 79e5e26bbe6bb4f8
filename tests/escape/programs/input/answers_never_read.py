# Promise: a client that does not read its answers keeps no slot by it.
# client: yes

import socket
import sys

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
STREAMS = 12
NO_WINDOW = bytes.fromhex("000006040000000000") + bytes.fromhex("000400000000")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NO_WINDOW
DATA, HEADERS, END_STREAM = 0, 1, 1
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
ARGV = ["/usr/bin/head", "-c", "1000000", "/dev/zero"]
JOB = pb.RunRequest(job=pb.Job(argv=ARGV)).SerializeToString()
MESSAGE = b"\x00" + len(JOB).to_bytes(4, "big") + JOB


def frame(kind, flags, stream, payload):
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


with socket.socket(socket.AF_UNIX) as deaf:
    deaf.settimeout(10)
    deaf.connect(ADDRESS.removeprefix("unix:"))
    deaf.sendall(PREFACE)
    for number in range(STREAMS):
        stream = 2 * number + 1
        deaf.sendall(frame(HEADERS, 4, stream, BLOCK))
        deaf.sendall(frame(DATA, END_STREAM, stream, MESSAGE))
    with sandboxd.SyncClient(ADDRESS) as client:
        served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(8)]
    held = served == [f"{n}\n".encode() for n in range(8)]
    print("HELD" if held else "BROKEN", f"jobs are run beside {STREAMS} answers nobody reads")
