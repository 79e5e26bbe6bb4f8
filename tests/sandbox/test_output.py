"""Output is drained whatever a program does with its end of the pipe, and looked at in bounds."""

from __future__ import annotations

from house import House, seconds

from sandboxd.model.job import Job, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded
from sandboxd.runtime.capture import LITTLE, PAUSE, READ_BYTES

ROOM = Limits(output_bytes=16 * MIB, cpu_time=seconds(50), wall_time=seconds(55))
CRUMBS = "import os\nfor _ in range(100_000): os.write(1, b'x')"


def test_output_in_pieces_of_every_size_is_whole_and_in_order(house: House) -> None:
    code = """
import os
for size in (1, 4095, 4096, 4097, 65535, 65536, 1 << 20):
    for byte in b'abc':
        os.write(1, bytes([byte]) * size)
"""
    sizes = (1, 4095, 4096, 4097, 65535, 65536, 1 << 20)
    expected = b"".join(bytes([byte]) * size for size in sizes for byte in b"abc")
    result = house.python(code, limits=ROOM)
    assert result.stdout.data == expected
    assert not result.stdout.truncated


def test_crumbs_are_gathered_before_they_are_looked_at(house: House) -> None:
    pieces: list[int] = []
    job = Job(argv=("/usr/bin/python3", "-c", CRUMBS), limits=ROOM)
    work = house.supervisor.run(job, on_output=lambda _, piece: pieces.append(len(piece)))
    result = house.do(work)
    assert result.stdout.total_bytes == sum(pieces) == 100_000
    few = [size for size in pieces if size < READ_BYTES // LITTLE]
    whole = result.usage.wall_time + result.usage.setup_time
    assert len(few) <= whole.total_seconds() / PAUSE + 2, "one a pause, the first and the last"


def test_a_program_that_empties_its_own_pipe_holds_nobody_up(house: House) -> None:
    code = """
import os
thief = os.open('/dev/stdout', os.O_RDONLY)
if os.fork():
    while True:
        os.write(1, b'x' * 512)
while True:
    os.read(thief, 1 << 16)
"""
    limits = Limits(output_bytes=1, wall_time=seconds(0.5), cpu_time=seconds(50))
    result = house.python(code, limits=limits)
    assert result.ending == LimitExceeded("wall_time")
    assert result.stdout.data == b"x"


def test_a_program_that_makes_its_pipe_small_loses_nothing(house: House) -> None:
    code = """
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)
os.write(1, b'x' * 20_000)
"""
    result = house.python(code)
    assert (result.ending, result.stdout.data) == (Exited(0), b"x" * 20_000)


def test_packets_of_one_byte_are_all_there_at_the_end(house: House) -> None:
    code = """
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_WRONLY | os.O_DIRECT)
for _ in range(40):
    os.write(1, b'x')
"""
    result = house.python(code)
    assert (result.ending, result.stdout.data) == (Exited(0), b"x" * 40)


def test_crumbs_on_a_terminal_are_all_there(house: House) -> None:
    result = house.python(CRUMBS, terminal=Terminal(), limits=ROOM)
    assert (result.ending, result.stdout.total_bytes) == (Exited(0), 100_000)
