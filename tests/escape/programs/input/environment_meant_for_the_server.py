# Promise: what a job's environment says is the program's affair: it steers no process of ours.
# client: yes

import sys

import sandboxd
from sandboxd.model.job import InputFile
from sandboxd.model.outcome import Exited, NotStarted

ADDRESS = sys.argv[1]
STEERING = {
    "LD_PRELOAD": "/workspace/evil.so",
    "LD_LIBRARY_PATH": "/workspace",
    "PYTHONPATH": "/workspace",
    "PYTHONSTARTUP": "/workspace/evil.py",
    "PYTHONHOME": "/workspace",
    "PYTHONMALLOC": "debug",
    "GRPC_TRACE": "all",
    "NOTIFY_SOCKET": "/workspace/notify",
    "BASH_ENV": "/workspace/evil.sh",
}
EVIL = (InputFile("evil.so", b"no library"), InputFile("json.py", b"raise SystemExit(3)"))
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/true"], env=STEERING, files=EVIL)
    print("HELD" if result.ending == Exited(0) else "BROKEN", "steered job:", result.ending)
    result = client.run(["/usr/bin/env"])
    names = {line.partition("=")[0] for line in result.stdout.data.decode().splitlines()}
    left = names & STEERING.keys()
    print("BROKEN" if left else "HELD", "the next job has none of it", *left)
    for path in ("", ":", "/proc/1/root", "../../bin", "/workspace/evil.so", "x" * 10_000):
        ending = client.run(["no-such-program"], env={"PATH": path}).ending
        kept = isinstance(ending, NotStarted)
        print("HELD" if kept else "BROKEN", f"PATH {path[:20]!r}: {ending}")
