# Promise: a limit that is negative, endless, no number or beyond its ceiling is refused by name.
# client: yes

import math
import sys

import grpc
from google.protobuf.duration_pb2 import Duration

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
INTEGERS = [name for name, field in pb.Limits.DESCRIPTOR.fields_by_name.items() if field.type == 3]
LEAST, MOST = -(1 << 63), (1 << 63) - 1
CASES = [({name: value}, name) for name in INTEGERS for value in (LEAST, -1, MOST)]
CASES += [({"cpu_count": value}, "cpu_count") for value in (math.nan, math.inf, -math.inf, -1.0)]
CASES += [({"cpu_count": value}, "cpu_count") for value in (0.0, -0.0, -5e-324, 1e308)]
DURATIONS = [(-1, 0), (0, -1), (0, 0), (LEAST, 0), (MOST, 0), (1, -1), (-1, 999_999_999)]
DURATIONS += [(1, 1_000_000_000), (1, -(1 << 31)), (1, (1 << 31) - 1), (315_576_000_001, 0)]
for name in ("cpu_time", "wall_time"):
    CASES += [({name: Duration(seconds=s, nanos=n)}, name) for s, n in DURATIONS]

held = 0
with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    for fields, name in CASES:
        job = pb.Job(argv=["/bin/true"], limits=pb.Limits(**fields))
        call = stub.Run.future(pb.RunRequest(job=job), 20)
        refused = call.code() is grpc.StatusCode.INVALID_ARGUMENT
        named = f"limits.{name}" in (call.details() or "")
        held += refused and named
        if not refused or not named:
            print("BROKEN", name, fields[name], call.code().name, call.details())
print("HELD" if held == len(CASES) else "BROKEN", held, "of", len(CASES), "were refused by name")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
