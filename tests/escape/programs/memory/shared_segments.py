# Promise: SysV segments count as the program's memory, attached or not.
# limits: memory_bytes=32MiB
# policies: default build nested
# rungs: v2 v1
# expect: limit memory_bytes
import ctypes

SIZE = 8 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for _ in range(16):
    segment = libc.shmget(0, SIZE, 0o1600)
    if segment < 0:
        raise SystemExit("no segment can be made")
    address = ctypes.c_void_p(libc.shmat(segment, None, 0))
    ctypes.memset(address, 1, SIZE)
    libc.shmdt(address)
print("BROKEN 128 MiB are in segments that nobody has attached")
