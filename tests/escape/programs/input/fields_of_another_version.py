# Promise: fields that the server does not know change nothing, whatever they hold.
# client: yes

import sys

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NUMBERS = {12, 99, 1000, 18999, (1 << 29) - 1} - set(pb.Job.DESCRIPTOR.fields_by_number)
JOB = pb.Job(argv=["/bin/echo", "same"]).SerializeToString()


def unknown(number, kind):
    tag, key = number << 3 | kind, bytearray()
    while tag > 0x7F:
        key.append(tag & 0x7F | 0x80)
        tag >>= 7
    key.append(tag)
    content = {
        VARINT: b"\xff" * 9 + b"\x01",
        FIXED64: b"x" * 8,
        BYTES: b"\x03abc",
        FIXED32: b"x" * 4,
    }
    return bytes(key) + content[kind]


EXTRAS = {
    f"number {number}, kind {kind}": unknown(number, kind)
    for number in NUMBERS
    for kind in (VARINT, FIXED64, BYTES, FIXED32)
}
EXTRAS["a known field of a wrong kind"] = unknown(4, VARINT) + unknown(7, FIXED32)
EXTRAS["ten thousand of them"] = unknown(1000, VARINT) * 10_000
held = 0
with grpc.insecure_channel(ADDRESS) as channel:
    for what, extra in EXTRAS.items():
        size, length = len(JOB) + len(extra), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        length.append(size)
        request = b"\x0a" + bytes(length) + JOB + extra
        call = channel.unary_unary(RUN, None, pb.RunResponse.FromString).future(request, 20)
        same = call.code() is grpc.StatusCode.OK and call.result().stdout.data == b"same\n"
        held += same
        if not same:
            print("BROKEN", what, call.code().name, call.details())
print("HELD" if held == len(EXTRAS) else "BROKEN", held, "of", len(EXTRAS), "changed nothing")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
