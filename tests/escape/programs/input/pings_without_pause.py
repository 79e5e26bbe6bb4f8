# Promise: floods of pings and settings whose answers nobody reads cost the server bounded memory.
# client: yes

import socket
import struct
import sys

import sandboxd

ADDRESS = sys.argv[1]
PATH = ADDRESS.removeprefix("unix:")
COUNT, GROWTH = 400_000, 64 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
PING = bytes.fromhex("0000080600000000003132333435363738")
SETTINGS = bytes.fromhex("000006040000000000000400010000")


def peak_of_server(client):
    pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


for what, piece in {"pings": PING, "settings": SETTINGS}.items():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(PATH)
        before, how = peak_of_server(client), "all were read"
        try:
            client.sendall(PREFACE)
            for _ in range(COUNT // 1000):
                client.sendall(piece * 1000)
        except OSError as error:
            how = f"stopped: {error}"
        growth = peak_of_server(client) - before
    print("HELD" if growth < GROWTH else "BROKEN", f"{what}: {how}, {growth >> 20} MiB more")
with sandboxd.SyncClient(ADDRESS) as client:
    result = client.run(["/bin/echo", "served"])
print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")
