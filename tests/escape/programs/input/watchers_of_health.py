# Promise: hundreds of open streams of health and reflection take no slot from jobs.
# client: yes

import itertools
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sandboxd

ADDRESS = sys.argv[1]
COUNT = 300
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
with grpc.insecure_channel(ADDRESS) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    watches = [health.Watch(health_pb2.HealthCheckRequest(service=f"s{n}")) for n in range(COUNT)]
    statuses = {next(watch).status for watch in watches}
    unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    print("HELD" if statuses == {unknown} else "BROKEN", f"{COUNT} watch what is not there")
    asked = itertools.chain([b"\x3a\x01*", b"\x22\x05x.y.z", b"\x1a\x03abc", b""])
    answers = channel.stream_stream(REFLECTION)(asked, 20)
    try:
        told = sum(1 for _ in answers)
        print("HELD" if told <= 4 else "BROKEN", told, "questions of reflection were answered")
    except grpc.RpcError as error:
        print("HELD reflection ended with", error.code().name)
    with sandboxd.SyncClient(ADDRESS) as client:
        served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(4)]
    kept = served == [b"0\n", b"1\n", b"2\n", b"3\n"]
    print("HELD" if kept else "BROKEN", "jobs are run beside them")
    for watch in watches:
        watch.cancel()
