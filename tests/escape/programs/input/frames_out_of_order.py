# Promise: frames that HTTP/2 forbids end their connection, not the server.
# client: yes

import socket
import sys

import sandboxd

ADDRESS = sys.argv[1]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags, stream, payload, length=None):
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


FORBIDDEN = {
    "data for no stream": frame(DATA, 0, 0, b"x"),
    "headers for no stream": frame(HEADERS, 4, 0, b"\x82"),
    "a frame of 16 MiB": frame(DATA, 0, 1, b"", 0xFFFFFF),
    "a promise from a client": frame(PUSH, 4, 1, bytes(8)),
    "a continuation of nothing": frame(CONTINUATION, 4, 1, b"\x82"),
    "a window beyond all bounds": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "settings of odd length": frame(SETTINGS, 0, 0, b"12345"),
    "settings for a stream": frame(SETTINGS, 0, 1, bytes(6)),
    "a ping of wrong length": frame(PING, 0, 0, b"123"),
    "a table of no size": frame(HEADERS, 4, 1, b"\x3f\xff\xff\xff\xff\xff\xff\x0f"),
    "a header of no index": frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\x7f"),
    "a header without end": frame(HEADERS, 4, 1, b"\x00\x7f\xff\xff\xff\xff\xff\xff"),
}


def stopped(data):
    """Tell whether the server says GOAWAY or RST_STREAM, or closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(ADDRESS.removeprefix("unix:"))
        received = b""
        try:
            client.sendall(PREFACE + data)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                received += piece
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


for what, data in FORBIDDEN.items():
    print("HELD" if stopped(data) else "BROKEN", f"{what}: the connection is ended")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
