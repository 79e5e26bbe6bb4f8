# Promise: a process of the host is to every call what a number is that nobody has.
import errno
import os

NOBODY = 4194303  # the greatest number that the kernel gives
bait = int(os.environ["BAIT_PID"])
seen = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
print("HELD" if seen <= {1, os.getpid()} else "BROKEN", f"processes in /proc: {sorted(seen)}")


def answer(call, pid):
    try:
        return call(pid)
    except OSError as error:
        return errno.errorcode[error.errno]


for what, call in (
    ("signal", lambda pid: os.kill(pid, 0)),
    ("signal to the group", lambda pid: os.killpg(pid, 0)),
    ("pidfd", os.pidfd_open),
    ("/proc", lambda pid: os.stat(f"/proc/{pid}")),
    ("its root", lambda pid: os.stat(f"/proc/{pid}/root")),
    ("its thread", lambda pid: os.stat(f"/proc/self/task/{pid}")),
    ("session", os.getsid),
    ("group", os.getpgid),
    ("priority", lambda pid: os.getpriority(os.PRIO_PROCESS, pid)),
    ("affinity", os.sched_getaffinity),
    ("class", os.sched_getscheduler),
):
    found, nobody = answer(call, bait), answer(call, NOBODY)
    same = found == nobody and isinstance(nobody, str)
    print("HELD" if same else "BROKEN", f"{what}: {found}; of nobody: {nobody}")
