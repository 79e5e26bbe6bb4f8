# Promise: every mount is nosuid, all but the devices nodev, and only the scratch places writable.
WRITABLE = {"/tmp", "/workspace", "/dev/shm"}
DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
DEVICES |= {"/dev/pts"}

with open("/proc/self/mountinfo") as file:
    lines = [line.split() for line in file]
for fields in lines:
    place, options = fields[4], set(fields[5].split(","))
    if "nosuid" not in options:
        print("BROKEN", f"{place} honours set-user-id bits")
    is_mask = place.startswith("/proc/") and fields[3] == "/null"
    if "nodev" not in options and place not in DEVICES and not is_mask:
        print("BROKEN", f"{place} honours devices")
    if "ro" not in options and place not in WRITABLE and place not in {"/proc", "/dev/pts"}:
        print("BROKEN", f"{place} is writable")
    if any(field.startswith(("shared:", "master:", "propagate_from:")) for field in fields):
        print("BROKEN", f"{place} shares its mounts with others")
seen = {fields[4] for fields in lines}
print("HELD" if WRITABLE | {"/", "/usr"} <= seen else "BROKEN", f"{len(lines)} mounts are locked")
