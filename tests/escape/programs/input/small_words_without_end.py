# Promise: a live job that is told millions of small things costs the server a bounded memory.
# client: yes

import os
import socket
import struct
import sys
from itertools import chain, repeat

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
COUNT, GROWTH = 20_000, 24 << 20
DEAF = pb.AttachRequest(job=pb.Job(argv=["/bin/sleep", "60"]))
FULL = pb.AttachRequest(stdin=b"x" * (1 << 20))
WORDS = {
    "stdin of nothing": pb.AttachRequest(stdin=b""),
    "stdin of one byte": pb.AttachRequest(stdin=b"x"),
    "signals": pb.AttachRequest(signal=pb.SendSignal(name="WINCH")),
    "cancels": pb.AttachRequest(cancel=pb.Cancel(signal="WINCH")),
}


def resident_bytes():
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(ADDRESS.removeprefix("unix:"))
        told = there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    with open(f"/proc/{struct.unpack('3i', told)[0]}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


with sandboxd.SyncClient(ADDRESS) as client, grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    slots = client.get_host().slot_count
    for rounds in range(2):  # the first time every page that is used at all is new
        for name, word in WORDS.items():
            before = resident_bytes()
            # More jobs than run at once: some hear it before their start.
            calls = [
                stub.Attach(chain([DEAF, FULL, FULL], repeat(word, COUNT)), timeout=2)
                for _ in range(slots + 1)
            ]
            for call in calls:
                try:
                    for _ in call:
                        pass
                except grpc.RpcError as error:
                    if error.code() not in {grpc.StatusCode.DEADLINE_EXCEEDED}:
                        print("BROKEN ended with", error.code(), error.details())
            grown = resident_bytes() - before
            if rounds:
                print("HELD" if grown < GROWTH else "BROKEN", f"{name}: {grown >> 10} KiB more")
    served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(4)]
    kept = served == [f"{n}\n".encode() for n in range(4)]
    print("HELD" if kept else "BROKEN", "jobs are run afterwards")
