# Promise: a choice that the server does not know is refused, never taken for another.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
Code = grpc.StatusCode


def job(**fields):
    return pb.Job(argv=["/bin/true"], **fields)


CASES = {f"network {n}": job(network=n) for n in (3, 99, -1, (1 << 31) - 1, -(1 << 31))}
CASES["input without a source"] = job(stdin=pb.Content())
CASES["a file without a source"] = job(files=[pb.InputFile(path="a", content=pb.Content())])
CASES["a file without a path"] = job(files=[pb.InputFile()])
CASES["an output without a path"] = job(outputs=[pb.OutputPath()])
CASES["an output of negative size"] = job(outputs=[pb.OutputPath(path="x", max_bytes=-1)])
CASES["an output of 2^63 - 1"] = job(outputs=[pb.OutputPath(path="x", max_bytes=(1 << 63) - 1)])
CASES["no program"] = pb.Job()
with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    for what, asked in CASES.items():
        code = stub.Run.future(pb.RunRequest(job=asked), 20).code()
        print("HELD" if code is Code.INVALID_ARGUMENT else "BROKEN", f"{what}: {code.name}")
    code = stub.Run.future(pb.RunRequest(), 20).code()
    print("HELD" if code is Code.INVALID_ARGUMENT else "BROKEN", "no job:", code.name)
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
