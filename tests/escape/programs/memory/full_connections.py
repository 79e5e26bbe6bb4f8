# Promise: what lies unread in TCP connections stays below twice memory_bytes.
# limits: memory_bytes=32MiB
# policies: default build nested
# rungs: v2 v1
# network: loopback
# expect: limit memory_bytes | exited 0
import socket
from contextlib import suppress

block = b"x" * (64 << 10)
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
ends, held = [], 0
for _ in range(64):
    client = socket.create_connection(listener.getsockname())
    ends.append((client, listener.accept()[0]))
    client.setblocking(False)
    with suppress(BlockingIOError):
        while held < 256 << 20:
            held += client.send(block)
print("HELD" if held <= 64 << 20 else "BROKEN", f"{held >> 20} MiB lie in connections")
