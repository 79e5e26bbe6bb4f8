# Promise: a call with more metadata than a header may have is refused, and starts nothing.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
Code = grpc.StatusCode
REQUEST = pb.RunRequest(job=pb.Job(argv=["/bin/true"]))
REFUSED = {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.INTERNAL, Code.CANCELLED}
TOO_MUCH = {
    "one value of 1 MiB": (("x-large", "x" * (1 << 20)),),
    "ten thousand values": tuple((f"x-{n}", "x") for n in range(10_000)),
    "one binary value of 1 MiB": (("x-large-bin", bytes(1 << 20)),),
}
ODD = {
    "a false identity": (("x-forwarded-for", "1.2.3.4"), ("authorization", "Bearer root")),
    "a compression that is not": (("grpc-accept-encoding", "x" * 1000),),
    "an empty value": (("x-empty", ""),),
}


def code_of(metadata):
    with grpc.insecure_channel(ADDRESS) as channel:
        call = pb_grpc.RunnerServiceStub(channel).Run.future(REQUEST, 20, metadata)
        return call.code()


for what, metadata in TOO_MUCH.items():
    code = code_of(metadata)
    print("HELD" if code in REFUSED else "BROKEN", f"{what}: {code.name}")
for what, metadata in ODD.items():
    code = code_of(metadata)
    print("HELD" if code is Code.OK else "BROKEN", f"{what}: changes nothing, {code.name}")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
