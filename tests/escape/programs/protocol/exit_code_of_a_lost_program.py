# Promise: exiting with 127, as init's own child does when it fails, counts as the program's exit.
# expect: exited 127

import os

os.write(1, b"HELD this program was started\n")
os._exit(127)
