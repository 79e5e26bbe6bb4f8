# Promise: limits of a process that the kernel holds can only be lowered.
import errno
import resource

RESOURCES = sorted(
    (name, getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")
)
finite = 0
for name, number in RESOURCES:
    soft, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY:
        continue
    finite += 1
    for wanted in ((hard + 1, hard + 1), (soft, hard + 1), (soft, resource.RLIM_INFINITY)):
        for call in (resource.setrlimit, lambda n, w: resource.prlimit(0, n, w)):
            try:
                call(number, wanted)
                print("BROKEN", f"{name}: {wanted}")
            except ValueError:  # what Python makes of EPERM from setrlimit(2)
                pass
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.ENOSYS}:
                    print("BROKEN", f"{name}: {errno.errorcode[error.errno]}")
    if resource.getrlimit(number) != (soft, hard):
        print("BROKEN", f"{name} is now {resource.getrlimit(number)}")
expected = {"RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_STACK"}
held = {n for n, r in RESOURCES if resource.getrlimit(r)[1] != resource.RLIM_INFINITY}
print("HELD" if expected <= held else "BROKEN", f"{finite} limits stay: {sorted(held)}")
