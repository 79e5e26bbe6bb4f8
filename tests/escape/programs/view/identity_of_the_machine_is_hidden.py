# Promise: boot id, machine id, serial numbers and the kernel's command line are not told.
# policies: default strict
import os

NAMES = [
    *("/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/hostname", "/proc/cmdline"),
    *("/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"),
    *("/sys/class/net", "/sys/firmware", "/sys/kernel/uevent_seqnum", "/proc/bootconfig"),
]
told = [path for path in NAMES if os.path.lexists(path)]
print("BROKEN" if told else "HELD", f"of {len(NAMES)} marks of the machine: {told}")
