# Promise: a listening socket in the place of an output is reported as no regular file.
# policies: default build nested
# outputs: socket
# check: file socket NOT_REGULAR
import os
import socket
import stat

listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
word = "HELD" if stat.S_ISSOCK(os.lstat("socket").st_mode) else "BROKEN"
print(word, "a socket lies where a file is wanted")
