# Promise: a socket file of the host cannot be reached, by its path or through /proc.
import errno
import os
import socket

path, pid = os.environ["BAIT_UNIX"], os.environ["BAIT_PID"]
WAYS = [path, f"/proc/1/root{path}", f"/proc/{pid}/root{path}", f"/proc/self/root/..{path}"]
WAYS += ["/run/docker.sock", "/var/run/docker.sock", "/run/systemd/private", "/dev/log"]
WAYS += ["/run/dbus/system_bus_socket", "/run/sandboxd/sandboxd.sock", "/run/containerd.sock"]
for way in WAYS:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(way)
        print("BROKEN", f"{way}: connected")
    except OSError as error:
        absent = {errno.ENOENT, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOTDIR}
        word = "HELD" if error.errno in absent else "BROKEN"
        print(word, f"{way}: {errno.errorcode[error.errno]}")
