# Promise: no pattern of outputs, on no tree that a job makes, keeps its slot beyond bounds.
# client: yes

import sys
import time

import sandboxd
from sandboxd.errors import SandboxdError
from sandboxd.model.job import OutputPath
from sandboxd.model.limits import Limits

ADDRESS = sys.argv[1]
LONGEST = 20.0
DEEP = "d=.; i=0; while [ $i -lt 60 ]; do d=$d/a; i=$((i+1)); done; mkdir -p $d; touch $d/x"
WIDE = (
    "mkdir a b c d; for d in a b c d; do for e in a b c d; do mkdir $d/$e; touch $d/$e/x;done;done"
)
LONG = f"touch {'a' * 250}"
MANY = '/usr/bin/python3 -Ic \'for n in range(3900): open(f"{n}", "w").close()\''
CASES = {
    "stars of depth, deep": (DEEP, ["**/" * 63 + "x"]),
    "stars of depth, wide": (WIDE, ["**/" * 30 + "y"]),
    "stars in a name": (LONG, ["*a" * 120 + "b"]),
    "classes in a name": (LONG, ["[a-z]*" * 40 + "b"]),
    "broken classes": (LONG, ["[" * 200, "[!]", "[]", "[a-", "[z-a]*"]),
    "all patterns, many files": (MANY, [f"*[{n}-a]*{n}?x" for n in range(256)]),
}
with sandboxd.SyncClient(ADDRESS) as client:
    for what, (script, patterns) in CASES.items():
        outputs = tuple(OutputPath(pattern) for pattern in patterns)
        began = time.monotonic()
        try:
            result = client.run(["/bin/sh", "-c", script], outputs=outputs, limits=Limits())
            told = f"{result.ending}, {len(result.files)} entries"
        except SandboxdError as error:
            told = f"{type(error).__name__}: {error}"
            print("BROKEN", what, told)
        took = time.monotonic() - began
        print("HELD" if took < LONGEST else "BROKEN", f"{what}: {told} in {took:.1f} s")
    served = client.run(["/bin/echo", "served"]).stdout.data
print("HELD" if served == b"served\n" else "BROKEN", "others are served")
