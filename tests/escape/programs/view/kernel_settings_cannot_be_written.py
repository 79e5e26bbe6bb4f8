# Promise: no setting of the kernel under /proc/sys can be written, where they are shown at all.
import os

count, unlocked = 0, []
for directory, _, names in os.walk("/proc/sys"):
    for name in names:
        count += 1
        try:
            fd = os.open(os.path.join(directory, name), os.O_WRONLY)
            if name == "ns_last_pid":  # of the own namespace; it opens, but takes nothing
                os.write(fd, b"100")
        except OSError:
            continue
        unlocked.append(name)
word = "BROKEN" if unlocked else "HELD"
print(word, f"{count} settings are shown, these can be written: {unlocked[:20]}")
