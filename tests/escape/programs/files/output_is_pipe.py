# Promise: a pipe in the place of an output is reported, and nobody waits at it.
# policies: default build nested
# outputs: pipe deep/pipe
# check: file pipe PIPE
# check: file deep/pipe PIPE
import os
import stat

os.mkdir("deep")
for path in ("pipe", "deep/pipe"):
    os.mkfifo(path)
    word = "HELD" if stat.S_ISFIFO(os.lstat(path).st_mode) else "BROKEN"
    print(word, f"{path}: a pipe without a writer waits for its reader")
