# Promise: bytes where text belongs are refused by the field's name, and never shown raw.
# client: yes

import sys

import grpc

import sandboxd

ADDRESS = sys.argv[1]
RUN = "/sandboxd.v1.RunnerService/Run"
BAD = {
    "a lone byte": b"\xff",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xc0\x80",
    "a surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "half a character": b"\xe2\x82",
}
TEXTS = {1: "argv[1]", 3: "working_directory", 8: "policy", 9: "root", 13: "require[0]"}


def field(number, data):
    return bytes((number << 3 | 2, len(data))) + data


held = 0
with grpc.insecure_channel(ADDRESS) as channel:
    for what, data in BAD.items():
        for number, name in TEXTS.items():
            job = field(1, b"/bin/true") + field(number, data)
            call = channel.unary_unary(RUN).future(field(1, job), 20)
            refused = call.code() is grpc.StatusCode.INVALID_ARGUMENT
            named = f"job.{name}" in call.details()
            held += refused and named
            if not refused or not named:
                print("BROKEN", what, "in", name, call.code().name, ascii(call.details()))
total = len(BAD) * len(TEXTS)
print("HELD" if held == total else "BROKEN", held, "of", total, "texts were refused by name")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
