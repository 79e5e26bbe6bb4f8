# Promise: the loopback that a job may ask for is its own: the host's services are not on it.
# network: loopback
# expect: exited 0 | denied socket
import errno
import os
import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname(), timeout=2) as client:
        client.sendall(b"own")
        served, _ = listener.accept()
        own = served.recv(3) == b"own"
print("HELD" if own else "BROKEN", "the own loopback carries data")
port = int(os.environ["BAIT_TCP"])
for address in ("127.0.0.1", "127.9.9.9"):
    try:
        socket.create_connection((address, port), timeout=2)
        print("BROKEN", f"{address}: connected to the host's service")
    except OSError as error:
        word = "HELD" if error.errno == errno.ECONNREFUSED else "BROKEN"
        print(word, f"{address}: {errno.errorcode.get(error.errno, error)}")
with socket.create_server(("127.0.0.1", port)):
    print("HELD", "its number is free here")
