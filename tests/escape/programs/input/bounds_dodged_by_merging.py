# Promise: bounds count what a request means, not how often it says so.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"
Code = grpc.StatusCode


def job(**fields):
    return pb.RunRequest(job=pb.Job(**fields)).SerializeToString()


def files(first, count):
    return [pb.InputFile(path=f"f{n}") for n in range(first, first + count)]


LIMITS = pb.Limits(memory_bytes=1 << 62)
GOOD = pb.Limits(memory_bytes=64 << 20)
REQUESTS = {
    "two halves of too many files": job(argv=["true"], files=files(0, 600))
    + job(files=files(600, 600)),
    "one path in two halves": job(argv=["true"], files=files(0, 1)) + job(files=files(0, 1)),
    "a good limit, then one too high": job(argv=["true"], limits=GOOD) + job(limits=LIMITS),
    "a good directory, then a bad one": job(argv=["true"], working_directory="/tmp")
    + job(working_directory="/tmp/.."),
    "too much content in two halves": job(
        argv=["true"],
        files=[pb.InputFile(path="a", content=pb.Content(data=bytes(33 << 20)))],
    )
    + job(files=[pb.InputFile(path="b", content=pb.Content(data=bytes(32 << 20)))]),
}
with grpc.insecure_channel(ADDRESS, (("grpc.max_send_message_length", -1),)) as channel:
    for what, request in REQUESTS.items():
        code = channel.unary_unary(RUN).future(request, 20).code()
        print("HELD" if code is Code.INVALID_ARGUMENT else "BROKEN", f"{what}: {code.name}")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
