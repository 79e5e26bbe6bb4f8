# Promise: files and directories that their owner closed are collected and removed like others.
# outputs: closed closed_directory/file
# check: file closed =kept
# check: file closed_directory/file =kept
import errno
import os

os.mkdir("closed_directory")
for path in ("closed", "closed_directory/file"):
    with open(path, "w") as file:
        file.write("kept")
    os.chmod(path, 0)
os.chmod("closed_directory", 0)
os.chmod("/workspace", 0)
for path in ("closed", "closed_directory/file"):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        word = "HELD" if error.errno == errno.EACCES else "BROKEN"
        print(word, f"{path} is closed to its owner: {errno.errorcode[error.errno]}")
    else:
        print("BROKEN", f"{path} opens although its mode is 0: the program has a capability")
