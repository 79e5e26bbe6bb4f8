# Wins the first game, and falls asleep over a longer one.
import time

count = int(input())
if count > 3:
    time.sleep(1000)
print(count)
