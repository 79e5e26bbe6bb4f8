# Promise: nothing of the channel or report pipe of init is open in the program or its children.
# expect: exited 0 | denied clone

import errno
import os
import stat

RECORDS = (b"E", b'["ended",[],1,0,1,0,0,[]]', b'["not_started",[],1,2,"x"]')


def written():
    found = []
    for fd in range(3, 4096):
        for record in RECORDS:
            try:
                os.write(fd, record)
                found.append(fd)
            except OSError as error:
                if error.errno != errno.EBADF:
                    found.append((fd, error.strerror))
    return found


sockets = [fd for fd in (0, 1, 2) if stat.S_ISSOCK(os.fstat(fd).st_mode)]
print("BROKEN" if sockets else "HELD", "none of the three is a socket", *sockets)
mine = written()
print("BROKEN" if mine else "HELD", "no other descriptor takes a report", *mine)
try:
    child = os.fork()
    if child == 0:
        os._exit(len(written()) > 0)
    status = os.waitpid(child, 0)[1]
    print("BROKEN" if status else "HELD", "nor one of a child:", status)
except OSError as error:
    print("HELD no child can look:", error.strerror)
