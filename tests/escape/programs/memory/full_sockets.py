# Promise: what lies unread in unix sockets counts as the program's memory.
# limits: memory_bytes=32MiB
# policies: default build nested
# rungs: v2 v1
# expect: limit memory_bytes
import socket
from contextlib import suppress

block = b"x" * (64 << 10)
pairs, held = [], 0
for _ in range(110):
    pair = socket.socketpair()
    pairs.append(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    pair[0].setblocking(False)
    with suppress(BlockingIOError):
        while held < 128 << 20:
            held += pair[0].send(block)
print(f"BROKEN {held >> 20} MiB lie in sockets")
