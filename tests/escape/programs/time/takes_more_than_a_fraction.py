# Promise: a fraction of a processor is all that a program gets.
# limits: cpu_count=0.25
# rungs: v2 v1
import time

start = time.monotonic()
used = time.process_time()
while time.monotonic() - start < 0.8:
    pass
used = time.process_time() - used
share = used / (time.monotonic() - start)
print("HELD" if share < 0.5 else "BROKEN", f"a busy loop got {share:.2f} of a processor")
