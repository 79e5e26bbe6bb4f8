# Promise: who drops as many programs as may run, and starts as many at once, loses no sandbox.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.model.limits import Limits
from sandboxd.v1 import sandbox_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
MOST, ROUNDS = 64, 4
SLOW = "x = bytearray(4 << 20); print(1, flush=True); import time; time.sleep(60)"
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED

with sandboxd.SyncClient(ADDRESS) as client, grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.SandboxServiceStub(channel)
    limits = Limits(process_count=200, memory_bytes=2 << 30)
    with client.sandboxes.create(limits=limits) as sandbox:
        argv = ["/usr/bin/python3", "-Ic", SLOW]
        program = pb.Program(sandbox_id=sandbox.id, argv=argv, no_stdin=True)
        for _ in range(ROUNDS):
            calls = [stub.Exec(iter([pb.ExecRequest(program=program)])) for _ in range(MOST)]
            for call in calls:
                try:
                    next(call)
                except grpc.RpcError as error:
                    if error.code() != FULL:
                        print("BROKEN refused with", error.code(), error.details())
            for call in calls:
                call.cancel()
        while sandbox.info().running_count:
            pass
        answer = sandbox.run(["/bin/echo", "lives"]).stdout.data
        print("HELD" if answer == b"lives\n" else "BROKEN", "the sandbox is there afterwards")
