# Promise: calls of other methods, in any spelling, are not carried out.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
Code = grpc.StatusCode
REQUEST = pb.RunRequest(job=pb.Job(argv=["/bin/true"])).SerializeToString()
METHODS = (
    "/sandboxd.v1.RunnerService/Shutdown",
    "/sandboxd.v1.RunnerService/run",
    "/sandboxd.v1.RunnerService/Run/",
    "/sandboxd.v1.RunnerService//Run",
    "/sandboxd.v1.RunnerService/../RunnerService/Run",
    "/sandboxd.v1.RunnerService/Run%00",
    "/sandboxd.v1.RunnerService/",
    "/sandboxd.v1.RunnerService/__init__",
    "/sandboxd.v1.RunnerService/DESCRIPTOR",
    "/sandboxd.v2.RunnerService/Run",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/",
    "//",
    "/" + "x" * 4000,
)
with grpc.insecure_channel(ADDRESS) as channel:
    for method in METHODS:
        code = channel.unary_unary(method).future(REQUEST, 20).code()
        kept = code in {Code.UNIMPLEMENTED, Code.INTERNAL, Code.RESOURCE_EXHAUSTED}
        print("HELD" if kept else "BROKEN", f"{method[:60]}: {code.name}")
    answers = list(channel.unary_stream("/sandboxd.v1.RunnerService/Run")(REQUEST, 20))
    print("HELD" if len(answers) == 1 else "BROKEN", "Run, as a stream:", len(answers), "answer")
    many = channel.stream_unary("/sandboxd.v1.RunnerService/Run")
    code = many.future(iter([REQUEST] * 50), 20).code()
    print("HELD" if code is not Code.UNKNOWN else "BROKEN", "fifty requests at once:", code.name)
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
