# Promise: a request with thousands of long faults gets an answer that fits, with its code.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
MAX_BYTES = 8192
LONG = "\u20ac" * 80
CASES = {
    "variables": pb.Job(argv=["x"], env={f"{LONG}{n}": "\0" for n in range(1024)}),
    "files": pb.Job(argv=["x"], files=[pb.InputFile(path=f"../{LONG}{n}") for n in range(1024)]),
    "outputs": pb.Job(
        argv=["x"], outputs=[pb.OutputPath(path=f"/{LONG}{n}", max_bytes=-1) for n in range(256)]
    ),
    "arguments": pb.Job(argv=["\0" * 1000] * 16384),
    "a directory": pb.Job(argv=["x"], working_directory="\u20ac" * 1_000_000),
    "requirements": pb.Job(argv=["x"], require=[LONG * 10] * 10_000),
}
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    for what, job in CASES.items():
        call = stub.Run.future(pb.RunRequest(job=job), 30)
        metadata = sum(len(key) + len(value) for key, value in call.trailing_metadata())
        size = metadata + len(call.details().encode())
        kept = call.code() in CODES and size < MAX_BYTES
        print("HELD" if kept else "BROKEN", f"{what}: {call.code().name} in {size} bytes")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
