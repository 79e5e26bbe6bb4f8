# Promise: a job with the least that any limit allows is answered by an outcome, not by a fault.
# client: yes

import sys
from datetime import timedelta

import sandboxd
from sandboxd.errors import JobError, SandboxdError
from sandboxd.model.limits import Limits

ADDRESS = sys.argv[1]
LEAST = {
    "cpu_time": timedelta(microseconds=1),
    "wall_time": timedelta(microseconds=1),
    "memory_bytes": 1,
    "process_count": 1,
    "output_bytes": 0,
    "scratch_bytes": 0,
    "file_count": 0,
    "file_size_bytes": 0,
    "open_file_count": 4,
    "stack_bytes": 1,
    "cpu_count": 5e-324,
    "core_bytes": 0,
    "memlock_bytes": 0,
    "msgqueue_bytes": 0,
    "address_space_bytes": 1,
}
with sandboxd.SyncClient(ADDRESS) as client:
    for name, value in LEAST.items():
        try:
            result = client.run(["/bin/true"], limits=Limits(**{name: value}))
            print("HELD", f"{name} {value}: {result.ending}")
        except JobError as error:
            print("HELD", f"{name} {value}: {error}")
        except SandboxdError as error:
            print("BROKEN", f"{name} {value}: {type(error).__name__}: {error}")
    served = client.run(["/bin/echo", "served"]).stdout.data
print("HELD" if served == b"served\n" else "BROKEN", "others are served")
