# Promise: a call without time left runs no job, and odd deadlines harm nobody.
# client: yes

import os
import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
SECONDS = f"7{os.getpid()}"
REQUEST = pb.RunRequest(job=pb.Job(argv=["/bin/sleep", SECONDS]))
Code = grpc.StatusCode


def sleepers():
    found = 0
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += file.read() == b"/bin/sleep\0" + SECONDS.encode() + b"\0"
        except OSError:
            continue
    return found


def eventually_none():
    """Look often, for as long as an answer to a good job may take."""
    with sandboxd.SyncClient(ADDRESS) as client:
        for _ in range(20):
            if not sleepers():
                return True
            client.run(["/bin/true"])
    return False


with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    for seconds in (0, -1, 1e-9, 1e-3, 0.02):
        code = stub.Run.future(REQUEST, seconds).code()
        kept = code is Code.DEADLINE_EXCEEDED
        print("HELD" if kept else "BROKEN", f"{seconds} s: {code.name}")
print("HELD" if eventually_none() else "BROKEN", "no such job is left")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
