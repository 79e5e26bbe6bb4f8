# Counts with pauses.
import time

time.sleep(1000)
