# Promise: calls whose request never arrives hold no slot.
# client: yes

import socket
import sys

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
CONNECTIONS, STREAMS = 10, 50
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
DATA, HEADERS = 0, 1
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
MESSAGE = b"\x00" + len(JOB).to_bytes(4, "big") + JOB


def frame(kind, flags, stream, payload):
    size = len(payload).to_bytes(3, "big")
    return size + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


kept = []
for _ in range(CONNECTIONS):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(ADDRESS.removeprefix("unix:"))
    client.sendall(PREFACE)
    for number in range(STREAMS):
        stream = 2 * number + 1
        client.sendall(frame(HEADERS, 4, stream, BLOCK))
        client.sendall(frame(DATA, 0, stream, MESSAGE[: number % len(MESSAGE)]))
    kept.append(client)
with sandboxd.SyncClient(ADDRESS) as client:
    served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(4)]
held = served == [b"0\n", b"1\n", b"2\n", b"3\n"]
print("HELD" if held else "BROKEN", f"jobs are run beside {CONNECTIONS * STREAMS} half requests")
for client in kept:
    client.close()
