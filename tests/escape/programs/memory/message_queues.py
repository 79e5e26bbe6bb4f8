# Promise: unread SysV messages stay below memory_bytes or are refused.
# limits: memory_bytes=32MiB
# expect: exited 0 | limit memory_bytes
import ctypes
import errno

IPC_NOWAIT = 0o4000
SIZE = 8_000
libc = ctypes.CDLL(None, use_errno=True)
message = ctypes.create_string_buffer(b"\1" + bytes(7) + b"x" * SIZE)
sent = 0
while sent < 80 << 20:
    queue = libc.msgget(0, 0o600)
    if queue < 0:
        break
    while libc.msgsnd(queue, message, SIZE, IPC_NOWAIT) == 0:
        sent += SIZE
refusal = errno.errorcode.get(ctypes.get_errno(), "no refusal")
verdict = "HELD" if sent <= 32 << 20 else "BROKEN"
print(verdict, f"{sent >> 20} MiB of messages, then: {refusal}")
