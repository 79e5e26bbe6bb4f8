# Promise: a job cannot call the server that runs it: neither its socket nor its files are there.
# client: yes

import os
import sys

import sandboxd
from sandboxd.model.job import InputFile, Network

ADDRESS = sys.argv[1]
PATH = ADDRESS.removeprefix("unix:")
PROGRAM = b"""
import os, socket, sys
path = sys.argv[1]
ways = [path, f"/proc/1/root{path}", f"/proc/self/root/../..{path}", "\\0" + path]
for way in ways:
    try:
        socket.socket(socket.AF_UNIX).connect(way)
        print("BROKEN connected by", ascii(way))
    except OSError as error:
        print("HELD", ascii(way), error.strerror)
for way in (path, os.path.dirname(path)):
    print("BROKEN" if os.path.exists(way) and way != "/tmp" else "HELD", way, "is not there")
"""
if not os.path.exists(PATH):
    print("BROKEN the server has no socket at", PATH)
with sandboxd.SyncClient(ADDRESS) as client:
    for network in Network:
        result = client.run(
            ["/usr/bin/python3", "-I", "call.py", PATH],
            files=(InputFile("call.py", PROGRAM),),
            network=network,
        )
        print(result.stdout.data.decode() or f"BROKEN it said nothing: {result}")
