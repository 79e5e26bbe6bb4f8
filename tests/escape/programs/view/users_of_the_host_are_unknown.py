# Promise: users and groups, host name, name servers and addresses of the host are not told.
import os
import pwd

users = {entry.pw_name for entry in pwd.getpwall()}
print("HELD" if users == {"root", "sandbox", "nobody"} else "BROKEN", f"users: {sorted(users)}")
system = os.uname()
print("HELD" if system.nodename == "sandbox" else "BROKEN", f"host name: {system.nodename}")
for path, harmless in (
    ("/etc/resolv.conf", {""}),
    ("/etc/hostname", {"sandbox"}),
    ("/etc/hosts", {"127.0.0.1 localhost sandbox", "::1 localhost sandbox"}),
):
    with open(path) as file:
        told = set(file.read().strip().split("\n"))
    print("HELD" if told <= harmless else "BROKEN", f"{path}: {sorted(told)}")
