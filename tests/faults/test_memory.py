"""A service that has too little memory: no job that kept its own limit is to blame for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from house import House
from leftovers import at_rest, settled

from sandboxd.errors import HostError
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Narrow(NamedTuple):
    """A memory cgroup of the test's own, above those of a daemon."""

    path: str
    file: str

    def limit(self, value: int) -> None:
        Path(self.path, self.file).write_text(str(value), encoding="ascii")


@pytest.fixture
def narrow(house: House) -> Iterator[Narrow]:
    tree = house.host.tree
    kind = tree.limits_by("memory")
    if kind is None:
        pytest.skip(f"no memory controller on rung {house.host.cgroup_rung}")
    if kind == "cgroup2":
        pytest.skip("in v2 a cgroup that has processes cannot limit those below it")
    path = f"{tree.paths['memory']}/test-{os.getpid()}"
    os.mkdir(path)
    yield Narrow(path, "memory.limit_in_bytes")
    os.rmdir(path)


def test_a_service_without_memory_blames_no_job_that_kept_its_limit(
    house: House, narrow: Narrow
) -> None:
    own = House()
    paths = {**own.host.tree.paths, "memory": narrow.path}
    own.host = replace(own.host, tree=own.host.tree._replace(paths=paths))
    own.supervisor = Supervisor(own.host)
    hungry = "x = b'x' * (60 << 20); print(len(x))"
    limits = Limits(memory_bytes=256 * MIB)
    with own:
        assert own.evaluate(hungry, limits=limits) == f"{60 << 20}\n"
        before = at_rest(own)
        narrow.limit(16 * MIB)
        with pytest.raises(HostError) as refused:
            own.evaluate(hungry, limits=limits)
        assert refused.value.reason == "MEMORY_EXHAUSTED"
        assert refused.value.remedy
        ending = own.python(hungry, limits=Limits(memory_bytes=8 * MIB)).ending
        assert ending == LimitExceeded("memory_bytes"), "one that did not keep its limit is"
        narrow.limit(-1)
        assert own.evaluate(hungry, limits=limits) == f"{60 << 20}\n"
        settled(own, before)
    assert house.run("/bin/true").ending == Exited(0)
