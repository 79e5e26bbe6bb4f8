# Promise: policy, root and requirement are looked up by name: no path or pattern finds another.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
Code = grpc.StatusCode
NAMES = ("../policies/nested", "/etc/passwd", "default.toml", "DEFAULT", "default ", "default\0")
NAMES += ("*", "", "default,nested", "__class__", "{0}", "%s", "x" * 100_000, "\n", "none", ".")
EMPTY_MEANS_DEFAULT = {"policy", "root"}
held = asked = 0
with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    for name in NAMES:
        for field in ("policy", "root", "require"):
            if not name and field in EMPTY_MEANS_DEFAULT:
                continue
            value = [name] if field == "require" else name
            job = pb.Job(argv=["/bin/true"], **{field: value})
            call = stub.Run.future(pb.RunRequest(job=job), 20)
            asked += 1
            held += call.code() is Code.FAILED_PRECONDITION
            if call.code() is not Code.FAILED_PRECONDITION:
                print("BROKEN", field, ascii(name[:40]), call.code().name)
            if len(call.details()) > 4096:
                print("BROKEN the answer repeats", len(call.details()), "characters of", field)
print("HELD" if held == asked else "BROKEN", held, "of", asked, "names were not found")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
