# Promise: files that a caller writes into a sandbox land nowhere else, whatever a program swaps.
# client: yes

import sys

import sandboxd
from sandboxd.errors import PreconditionError
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import Limits

CONTENT = b"z" * 5000
SWAP = """
import os
os.mkdir("/tmp/out"); os.mkdir("d"); open("other", "w").close()
def attempt(call, *names):
    try:
        call(*names)
    except OSError:
        pass
print("up", flush=True)
new, file = "d/.sandboxd-new", "d/file"
while True:
    for call, *names in (
        (os.rename, "d", "gone"), (os.symlink, "/tmp/out", "d"), (os.unlink, "d"),
        (os.rename, "gone", "d"), (os.rename, new, "d/moved"), (os.symlink, "/tmp/out/x", new),
        (os.unlink, file), (os.mkfifo, file), (os.unlink, new), (os.mkfifo, new), (os.unlink, new),
        (os.link, "other", new), (os.unlink, file), (os.mkdir, file), (os.rmdir, file),
        (os.symlink, "/etc/passwd", file), (os.link, new, "d/kept"), (os.unlink, "d/kept"),
    ):
        attempt(call, *names)
"""

with sandboxd.SyncClient(sys.argv[1]) as client:
    with client.sandboxes.create(limits=Limits(cpu_count=2)) as sandbox:
        with sandbox.exec(["/usr/bin/python3", "-Ic", SWAP]) as swapper:
            next(iter(swapper))
            written = refused = 0
            for _ in range(500):
                try:
                    sandbox.write_files(InputFile("d/file", CONTENT))
                    written += 1
                except PreconditionError:
                    refused += 1
                for found in sandbox.read_files(OutputPath("d/file", optional=True)):
                    if found.content not in {None, CONTENT, b""}:
                        print("BROKEN something else was read", found.content[:100])
        script = "find /tmp/out -mindepth 1; wc -c < other"
        left = sandbox.run(["/bin/sh", "-c", script]).stdout.data
        held = left == b"0\n" and written
        print("HELD" if held else "BROKEN", f"{written} written, {refused} refused, left {left}")
