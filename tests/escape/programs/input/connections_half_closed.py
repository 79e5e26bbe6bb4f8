# Promise: clients that close their half, reset, or say nothing, hold no slot and stop nobody.
# client: yes

import socket
import struct
import sys

import sandboxd

ADDRESS = sys.argv[1]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
COUNT = 60
kept = []


def connect(sent):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(ADDRESS.removeprefix("unix:"))
    client.sendall(sent)
    kept.append(client)
    return client


for number in range(COUNT):
    connect(b"")
    connect(PREFACE[: number % len(PREFACE)])
    connect(PREFACE).shutdown(socket.SHUT_WR)
    connect(PREFACE).shutdown(socket.SHUT_RD)
    gone = connect(PREFACE)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
with sandboxd.SyncClient(ADDRESS) as client:
    served = [client.run(["/bin/echo", str(n)]).stdout.data for n in range(4)]
held = served == [b"0\n", b"1\n", b"2\n", b"3\n"]
print("HELD" if held else "BROKEN", f"jobs are run beside {len(kept)} such connections")
for client in kept:
    client.close()
