# Promise: files in scratch space count as the program's memory.
# limits: memory_bytes=32MiB scratch_bytes=256MiB
# rungs: v2 v1
# expect: limit memory_bytes
block = b"x" * (1 << 20)
for place in ("/workspace", "/tmp", "/dev/shm"):
    with open(f"{place}/big", "wb", buffering=0) as file:
        for _ in range(64):
            file.write(block)
print("BROKEN 192 MiB of files are there")
