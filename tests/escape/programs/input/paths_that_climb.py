# Promise: no path of a request leads out of the places where a job may have files.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

ADDRESS = sys.argv[1]
Code = grpc.StatusCode
CLIMBING = ("..", "../x", "a/../../x", "a/..", "./x", ".", "a//b", "a/", "//x", "a/./b", "")
CLIMBING += ("a\0b", "\0", "x" * 256, "x/" * 2100, "../" * 1000 + "etc/passwd", "/../etc/passwd")
OUTSIDE = ("/etc/passwd", "/", "/tmp", "/workspace", "/dev/shm", "/proc/1/mem", "/dev/null")
OUTSIDE += ("/tmpx/y", "/workspace/../etc/x", "/tmp/../../x", "/dev/shm/../null")
RELATIVE = ("tmp", "~", "", "workspace/x")
HARMLESS = ("..x", "x..", "...", "a/...", "~", "%2e%2e/x", "\u2024\u2024/x", "..\\x", "C:\\x")


def job(**fields):
    return pb.Job(argv=["/bin/true"], **fields)


CASES = [(f"file {path[:30]!r}", job(files=[pb.InputFile(path=path)])) for path in CLIMBING]
CASES += [(f"file {path!r}", job(files=[pb.InputFile(path=path)])) for path in OUTSIDE]
CASES += [(f"output {path[:30]!r}", job(outputs=[pb.OutputPath(path=path)])) for path in CLIMBING]
CASES += [(f"output {path!r}", job(outputs=[pb.OutputPath(path=path)])) for path in OUTSIDE]
CASES += [(f"directory {path[:30]!r}", job(working_directory=path)) for path in CLIMBING if path]
CASES += [(f"directory {path!r}", job(working_directory=path)) for path in RELATIVE if path]

with grpc.insecure_channel(ADDRESS) as channel:
    stub = pb_grpc.RunnerServiceStub(channel)
    held = 0
    for what, asked in CASES:
        code = stub.Run.future(pb.RunRequest(job=asked), 20).code()
        held += code is Code.INVALID_ARGUMENT
        if code is not Code.INVALID_ARGUMENT:
            print("BROKEN", what, code.name)
    print("HELD" if held == len(CASES) else "BROKEN", held, "paths were refused")
    for path in HARMLESS:
        place = pb.InputFile(path=path, content=pb.Content(data=b"here"))
        asked = pb.Job(argv=["/bin/cat", path], files=[place])
        call = stub.Run.future(pb.RunRequest(job=asked), 20)
        kept = call.code() is Code.OK and call.result().stdout.data == b"here"
        print("HELD" if kept else "BROKEN", f"{path!r} is only a name below /workspace")
    asked = pb.Job(argv=["/bin/true"], working_directory="/proc/1/cwd")
    answer = stub.Run(pb.RunRequest(job=asked), timeout=20)
    ending = answer.outcome.WhichOneof("ending")
    print("HELD" if ending == "not_started" else "BROKEN", "init's directory:", ending)
