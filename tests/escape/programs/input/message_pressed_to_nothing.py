# Promise: a request is measured as it is when unpacked: a small packet with a huge one is refused.
# client: yes

import socket
import struct
import sys

import grpc

import sandboxd

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"
SIZE, GROWTH = 256 << 20, 160 << 20
OPTIONS = (("grpc.max_send_message_length", -1),)


def server_status():
    """Give resident bytes and their peak, which begins anew."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(ADDRESS.removeprefix("unix:"))
        pid = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")
    return int(fields["VmRSS"].split()[0]) << 10, int(fields["VmHWM"].split()[0]) << 10


for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
    before = server_status()[0]
    with grpc.insecure_channel(ADDRESS, OPTIONS, compression) as channel:
        call = channel.unary_unary(RUN).future(b"\x0a" + bytes(SIZE), 60)
        code = call.code()
    growth = server_status()[1] - before
    kept = code is grpc.StatusCode.RESOURCE_EXHAUSTED and growth < GROWTH
    print("HELD" if kept else "BROKEN", f"{compression.name}: {code.name}, {growth >> 20} MiB more")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
