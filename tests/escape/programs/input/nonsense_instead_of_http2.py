# Promise: bytes that are no HTTP/2 end their own connection and nothing else.
# client: yes

import os
import socket
import sys

import sandboxd

ADDRESS = sys.argv[1]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NONSENSE = {
    "HTTP/1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n",
    "a proxy's line": b"PROXY TCP4 1.2.3.4 127.0.0.1 1 2\r\n" + PREFACE,
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(400),
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "noise": os.urandom(100_000),
    "half a preface": PREFACE[:-1] + b"x" * 100,
    "a preface and noise": PREFACE + b"\xfe" * 50_000,
}


def closed(data):
    """Tell whether the server ends the connection after these bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(ADDRESS.removeprefix("unix:"))
        try:
            client.sendall(data)
            while client.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


for what, data in NONSENSE.items():
    print("HELD" if closed(data) else "BROKEN", f"{what}: the connection is ended")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
