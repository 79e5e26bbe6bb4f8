# Promise: a request of a million empty fields is refused without costing the server its time.
# client: yes

import socket
import struct
import sys
import threading
import time

import grpc

import sandboxd

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"
COUNT, GROWTH, PAUSE = 2_000_000, 256 << 20, 2.0
FIELDS = {"argv": 1, "env": 2, "files": 5, "outputs": 6, "require": 13, "secret_env": 14}


def size(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def request(number, tail=b""):
    job = bytes((number << 3 | 2, 0)) * COUNT + tail
    return b"\x0a" + size(len(job)) + job


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


def longest_pause(stop, found):
    with sandboxd.SyncClient(ADDRESS) as client:
        while not stop.is_set():
            asked = time.monotonic()
            client.get_host()
            found.append(time.monotonic() - asked)


requests = {name: request(number) for name, number in FIELDS.items()}
requests["argv with one bad text"] = request(1, b"\x0a\x01\xff")
for what, content in requests.items():
    stop, pauses = threading.Event(), []
    watcher = threading.Thread(target=longest_pause, args=(stop, pauses))
    before = server_status()[0]
    watcher.start()
    with grpc.insecure_channel(ADDRESS) as channel:
        code = channel.unary_unary(RUN).future(content, 100).code()
    stop.set()
    watcher.join()
    growth, pause = server_status()[1] - before, max(pauses)
    kept = code is not grpc.StatusCode.OK and growth < GROWTH and pause < PAUSE
    told = f"{code.name}, others waited {pause:.1f} s, {growth >> 20} MiB more"
    print("HELD" if kept else "BROKEN", f"{COUNT} of {what}: {told}")
