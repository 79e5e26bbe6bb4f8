# Promise: a recorded pipe that is filled byte by byte costs little, and others are served meanwhile.
# client: yes

import sys
import time
from datetime import timedelta

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
RECORD, MOST_PIECES = 4 << 20, 20_000
CRUMBS = """
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT)  # each write stays a packet of its own
while True:
    os.write(1, b"x")
"""

with sandboxd.SyncClient(ADDRESS) as client, grpc.insecure_channel(ADDRESS) as channel:
    request = pb.RunGroupRequest(
        members=[
            pb.GroupMember(name="a", job=pb.Job(argv=["/usr/bin/python3", "-Ic", CRUMBS])),
            pb.GroupMember(name="b", job=pb.Job(argv=["/bin/sh", "-c", "exec cat > /dev/null"])),
        ],
        pipes=[
            pb.GroupPipe(
                writer=pb.PipeEnd(member="a"),
                reader=pb.PipeEnd(member="b"),
                record_bytes=RECORD,
            )
        ],
    )
    request.wall_time.FromTimedelta(timedelta(seconds=3))
    running = pb_grpc.RunnerServiceStub(channel).RunGroup.future(request, 60)
    worst = 0.0
    while not running.done():
        began = time.monotonic()
        client.get_host()
        worst = max(worst, time.monotonic() - began)
    (record,) = running.result().records
    few = len(record.pieces) < MOST_PIECES
    print("HELD" if few else "BROKEN", f"{record.total_bytes} bytes, {len(record.pieces)} pieces")
    print("HELD" if worst < 1 else "BROKEN", f"others waited for {worst:.3f} s at the most")
