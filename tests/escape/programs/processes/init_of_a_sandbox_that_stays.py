# Promise: no program of a sandbox that stays kills, stops or traces its init.
# client: yes

import sys

import sandboxd
from sandboxd.model.outcome import Exited

ATTACK = """
import ctypes, os, resource, signal
libc = ctypes.CDLL(None)
for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
for request in (16, 0x4206):
    print("TRACED" if libc.ptrace(request, 1, 0, 0) == 0 else "refused", request)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(-1, signal.SIGTERM)
os.kill(-1, signal.SIGSTOP)
"""

with sandboxd.SyncClient(sys.argv[1]) as client, client.sandboxes.create() as sandbox:
    for _ in range(3):
        said = sandbox.run(["/usr/bin/python3", "-Ic", ATTACK]).stdout.data.decode()
        print("BROKEN" if "TRACED" in said or "refused" not in said else "HELD", "untraced", said)
    answer = sandbox.run(["/bin/echo", "lives"])
    lives = answer.ending == Exited(0) and answer.stdout.data == b"lives\n"
    print("HELD" if lives else "BROKEN", "init does what it is told", answer.ending)
