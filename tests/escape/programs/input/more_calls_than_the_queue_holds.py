# Promise: what the queue cannot hold is turned away with a time to come again, and nothing is lost.
# client: yes

import asyncio
import sys

import sandboxd
from sandboxd.errors import Busy
from sandboxd.model.outcome import Exited

ADDRESS = sys.argv[1]
COUNT = 400


async def one(client):
    try:
        return (await client.run(["/bin/true"])).ending
    except Busy as busy:
        return busy.retry_after.total_seconds() > 0


async def main():
    async with sandboxd.Client(ADDRESS) as client:
        ended = await asyncio.gather(*(one(client) for _ in range(COUNT)), return_exceptions=True)
        ran, turned = ended.count(Exited(0)), ended.count(True)
        whole = ran + turned == COUNT and ran > 0
        print("HELD" if whole else "BROKEN", f"{ran} ran, {turned} were told to come again")
        for odd in {repr(end) for end in ended} - {repr(Exited(0)), "True"}:
            print("BROKEN", odd)
        result = await client.run(["/bin/echo", "served"])
        print("HELD" if result.stdout.data == b"served\n" else "BROKEN", "others are served")


asyncio.run(main())
