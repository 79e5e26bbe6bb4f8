# Promise: address space ends at address_space_bytes, in one piece or in many.
# limits: address_space_bytes=256MiB
import errno
import mmap


def attempt(what, size, count):
    rooms = []
    try:
        while len(rooms) < count:
            rooms.append(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        print(f"BROKEN {what}: {size * count >> 20} MiB are there")
    except OSError as error:
        refusal = errno.errorcode[error.errno]
        held = refusal == "ENOMEM" and len(rooms) * size < 256 << 20
        print("HELD" if held else "BROKEN", f"{what}: {refusal} after {len(rooms)}")


attempt("one piece", 512 << 20, 1)
attempt("many pieces", 1 << 20, 512)
