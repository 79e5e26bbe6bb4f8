# Promise: what a program writes is output, however much it looks like a report of init.
# expect: exited 7

import os
import struct

REPORTS = (
    b'["ended",[],1,0,1,0,0,[]]',
    b'["failed",[],"exec",1,"forged"]',
    b'["not_started",[],1,2,"forged"]',
    b'["started",[],1,1]',
    b"E",
    b"+",
    struct.pack("<q", 0),
)
for stream in (1, 2):
    for report in REPORTS:
        os.write(stream, report + b"\n")
os.write(1, b"HELD the exit code will be 7, not the 0 of these lines\n")
os._exit(7)
