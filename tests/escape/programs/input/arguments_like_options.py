# Promise: no text of a job is taken for an option, a shell's word or a pattern of ours.
# client: yes

import sys

import sandboxd
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.outcome import NotStarted

ADDRESS = sys.argv[1]
ODD = ("--", "-c", "--help", "$(id)", "`id`", "; id", "a b", "*", "~", "%s", "\n", "\x1b[2J", "'")

with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/usr/bin/printf", "%s|", *ODD])
    told = result.stdout.data.decode()
    print("HELD" if told == "|".join(ODD) + "|" else "BROKEN", "arguments come as they are")
    for name in ("--help", "-c", "sandboxd run", "$(id)", "-"):
        ending = client.run([name, "--policy", "nested", "/bin/true"]).ending
        kept = isinstance(ending, NotStarted) and ending.errno == "ENOENT"
        print("HELD" if kept else "BROKEN", f"program {name!r}: {ending}")
    names = tuple(name for name in ODD if name not in {"*"})
    result = client.run(
        ["/bin/sh", "-c", "cat ./*"],
        files=tuple(InputFile(name, name.encode()) for name in ODD),
        outputs=tuple(OutputPath(name) for name in names),
    )
    same = [(file.path, file.content) for file in result.files] == [(n, n.encode()) for n in names]
    print("HELD" if same else "BROKEN", "names of files come and go as they are")
    env = {"A;id": "$(id)", "-x": "-y", "BASH_FUNC_x%%": "() { id; }", "x\n": "\n"}
    result = client.run(["/usr/bin/env", "-0"], env=env)
    told = set(result.stdout.data.decode().split("\0"))
    same = told >= {f"{name}={value}" for name, value in env.items()}
    print("HELD" if same else "BROKEN", "variables come as they are")
