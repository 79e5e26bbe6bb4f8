# Promise: a terminal that the program itself has stopped blocks only the program, until wall_time.
# terminal: yes
# limits: wall_time=700ms
# expect: limit wall_time
# check: wall_below 5s
import os
import termios

termios.tcflow(1, termios.TCOOFF)
os.write(1, b"BROKEN a stopped terminal writes\n" * 1000)
