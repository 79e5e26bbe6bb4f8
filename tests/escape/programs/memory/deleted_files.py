# Promise: files that are deleted but still open count in scratch_bytes.
# limits: scratch_bytes=8MiB
import errno
import tempfile

block = b"x" * (256 << 10)
files, written, refusal = [], 0, "no refusal"
try:
    while written < 32 << 20:
        file = tempfile.TemporaryFile(buffering=0)
        files.append(file)
        for _ in range(4):
            written += file.write(block)
except OSError as error:
    refusal = errno.errorcode[error.errno]
held = refusal == "ENOSPC" and written <= 8 << 20
print("HELD" if held else "BROKEN", f"{written >> 10} KiB in deleted files, then: {refusal}")
