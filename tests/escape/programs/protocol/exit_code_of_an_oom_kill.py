# Promise: exiting with 137 looks like nothing but an exit with 137.
# expect: exited 137

import os

os.write(1, b"HELD no signal was sent and no memory used up\n")
os._exit(137)
