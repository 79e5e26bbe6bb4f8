# Promise: hundreds of calls cancelled at any moment leave every slot free and no process.
# client: yes

import os
import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
SECONDS = f"8{os.getpid()}"
REQUEST = pb.RunRequest(job=pb.Job(argv=["/bin/sleep", SECONDS]))
ROUNDS, TOGETHER = 20, 10


def sleepers():
    found = 0
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += file.read() == b"/bin/sleep\0" + SECONDS.encode() + b"\0"
        except OSError:
            continue
    return found


with grpc.insecure_channel(ADDRESS) as channel, sandboxd.SyncClient(ADDRESS) as client:
    stub = pb_grpc.RunnerServiceStub(channel)
    for number in range(ROUNDS):
        calls = [stub.Run.future(REQUEST, 60) for _ in range(TOGETHER)]
        for _ in range(number % 4):
            client.get_host()  # lets them come further, each round a little more
        for call in calls:
            call.cancel()
        left = {call.code() for call in calls} - {grpc.StatusCode.CANCELLED}
        left -= {grpc.StatusCode.RESOURCE_EXHAUSTED}
        if left:
            print("BROKEN a cancelled call ended with", left)
    served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(8)]
    kept = served == [f"{n}\n".encode() for n in range(8)]
    print("HELD" if kept else "BROKEN", f"jobs are run after {ROUNDS * TOGETHER} cancelled ones")
    for _ in range(20):
        if sleepers():
            client.run(["/bin/true"])
print("BROKEN" if sleepers() else "HELD", "no cancelled job is left", sleepers())
