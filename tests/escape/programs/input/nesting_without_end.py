# Promise: a message nested beyond measure is refused as no message.
# client: yes

import sys

import grpc

import sandboxd

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"


def size(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def nested(depth):
    content = b"\xff"
    for _ in range(depth):
        content = b"\x0a" + size(len(content)) + content
    return content


REQUESTS = {
    "100000 open groups": b"\x7b" * 100_000,
    "100000 groups within groups": b"\x7b" * 100_000 + b"\x7c" * 100_000,
    "2000 messages within messages": nested(2000),
    "a group in a job": b"\x0a\x04\x7b\x7b\x7c\x7c",
    "an end without a beginning": b"\x7c",
    "a size beyond 64 bits": b"\x0a" + b"\xff" * 10 + b"\x01",
    "a size of two GiB": b"\x0a\xff\xff\xff\xff\x07",
    "a tag of number 0": b"\x02\x00",
    "a wire type of no meaning": b"\x0f\x00",
}
with grpc.insecure_channel(ADDRESS) as channel:
    for what, request in REQUESTS.items():
        code = channel.unary_unary(RUN).future(request, 20).code()
        kept = code is grpc.StatusCode.INVALID_ARGUMENT
        print("HELD" if kept else "BROKEN", f"{what}: {code.name}")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
