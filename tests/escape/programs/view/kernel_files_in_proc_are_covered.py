# Promise: where /proc shows the machine, memory, log, symbols, keys and settings are covered.
# policies: build
import os

FILES = ["kcore", "kmsg", "kallsyms", "keys", "key-users", "timer_list", "sysrq-trigger", "modules"]
FILES += ["interrupts", "slabinfo", "vmallocinfo", "kpagecount", "kpageflags", "config.gz"]
DIRECTORIES = ["sys", "bus", "irq", "driver", "fs", "scsi", "acpi", "tty", "asound"]
for name in FILES:
    if os.path.exists(f"/proc/{name}"):
        with open(f"/proc/{name}", "rb") as file:
            told = file.read(64)
        device = os.stat(f"/proc/{name}").st_rdev
        covered = not told and device == os.makedev(1, 3)
        print("HELD" if covered else "BROKEN", f"{name}: {told[:20]}")
for name in DIRECTORIES:
    if os.path.exists(f"/proc/{name}"):
        inside = os.listdir(f"/proc/{name}")
        print("BROKEN" if inside else "HELD", f"{name}: {inside[:5]}")
with open("/proc/cpuinfo") as file:
    print("HELD" if "processor" in file.read() else "BROKEN", "what is meant to be there is there")
