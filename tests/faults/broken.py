"""The test build of the plan: the one stage that SANDBOXD_TEST_FAIL names fails, in the kernel.

The product has no hook for this. What `plan` makes is data: here the functions that make it, as the
supervisor sees them, are wrapped, and one operation of it is spoiled: its arguments become
impossible ones, or, where none of them can be wrong, an impossible operation of the same stage
comes before it. `python broken.py serve ...` is sandboxd's own command line with such plans.

    SANDBOXD_TEST_FAIL=seccomp                   the stage's own operation fails
    SANDBOXD_TEST_FAIL=job/working_directory     of two stages with one name, that of this tape
    SANDBOXD_TEST_FAIL=seccomp:ENOTDIR           an operation before it fails with this errno
    SANDBOXD_TEST_FAIL=seccomp:HANG              an operation before it never ends
"""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sandboxd import plan as real
from sandboxd.kernel import idmap
from sandboxd.model.tape import Operation
from sandboxd.runtime import nursery, supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

    from sandboxd.host import Host
    from sandboxd.identity import Identity
    from sandboxd.model.tape import Tape

VARIABLE = "SANDBOXD_TEST_FAIL"
MISSING = "/missing"
TOO_LONG = "x" * 300
NO_ID = 4_000_000_000
"""An id that no outer namespace maps."""

IMPOSSIBLE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "ENOENT": ("enter_directory", (MISSING,)),
    "ENOTDIR": ("enter_directory", ("/dev/null",)),
    "ENAMETOOLONG": ("enter_directory", (TOO_LONG,)),
    "EBADF": ("join_cgroups", (-1,)),
    "EINVAL": ("unshare", (1,)),
}
"""By errno: operations that fail with it wherever a tape is executed, and change nothing."""
HANG, NO_PROCESS, NO_DESCRIPTOR = "HANG", "NO_PROCESS", "NO_DESCRIPTOR"
BEFORE: dict[str, tuple[str, tuple[Any, ...]]] = {
    **IMPOSSIBLE,
    HANG: ("request_netlink", ("00" * 16,)),  # the kernel passes over it, and nobody answers
    NO_PROCESS: ("set_rlimits", ([[resource.RLIMIT_NPROC, 0]],)),
    NO_DESCRIPTOR: ("set_rlimits", ([[resource.RLIMIT_NOFILE, 0]],)),
}
"""And those after which something else fails, in place of an errno."""


class Spoiled(NamedTuple):
    """How the arguments of a verb are made impossible, and what the kernel says of them."""

    errno: str
    spoil: Callable[[tuple[Any, ...]], tuple[Any, ...]]


def _other_device(request: str) -> str:
    """Ask for a network device that is not there: its index follows header and family."""
    return request[:40] + "63000000" + request[48:]


OWN = {
    "mount": Spoiled("ENOENT", lambda given: (given[0], MISSING, *given[2:])),
    "bind": Spoiled("ENOENT", lambda given: (MISSING, *given[1:])),
    "make_directory": Spoiled("ENOTDIR", lambda given: ("/dev/null/x", *given[1:])),
    "make_file": Spoiled("ENOENT", lambda given: (f"{MISSING}/x", *given[1:])),
    "pivot": Spoiled("ENOENT", lambda _: (MISSING,)),
    "join_cgroups": Spoiled("EBADF", lambda _: (-1,)),
    "set_ids": Spoiled("EINVAL", lambda _: (NO_ID, NO_ID)),
    "write_file": Spoiled("ENOENT", lambda given: (MISSING, *given[1:])),
    "set_names": Spoiled("EINVAL", lambda given: (TOO_LONG, *given[1:])),
    "make_directories": Spoiled("ENAMETOOLONG", lambda given: (TOO_LONG, *given[1:])),
    "place_file": Spoiled("EIO", lambda given: (*given[:-1], given[-1] + 1)),
    "request_netlink": Spoiled("ENODEV", lambda given: (_other_device(given[0]),)),
    "unshare": Spoiled("EINVAL", lambda _: (1,)),
    "set_affinity": Spoiled("EINVAL", lambda _: ([],)),
    "set_descriptors": Spoiled("EBADF", lambda given: (-1, *given[1:])),
    "enter_directory": Spoiled("ENOENT", lambda _: (MISSING,)),
    "restrict": Spoiled("ENOENT", lambda given: (*given[:-1], [[MISSING, 1]])),
    "install_filter": Spoiled("EIO", lambda given: (given[0], given[1] + 1, *given[2:])),
    "execute": Spoiled("ENOENT", lambda given: ([MISSING], *given[1:])),
}
"""Verbs whose arguments can be wrong; before one of another verb comes an impossible operation."""


class Fault(NamedTuple):
    """What is to fail: the stage, in one tape or wherever it is, and with which errno."""

    stage: str
    tape: str = ""
    errno: str = ""


def asked() -> Fault | None:
    """Read what the environment asks for."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    place, _, errno = text.partition(":")
    tape, _, stage = place.rpartition("/")
    return Fault(stage, tape, errno)


def spoiled(tape: Tape, name: str) -> Tape:
    """Give a tape in which the asked stage fails, if it is one of this tape."""
    fault = asked()
    if fault is None or fault.tape not in {"", name}:
        return tape
    for index, operation in enumerate(tape):
        if operation.stage == fault.stage:
            return (*tape[:index], *_spoiled(operation, fault.errno), *tape[index + 1 :])
    return tape


def _spoiled(operation: Operation, errno: str) -> Tape:
    if not errno and operation.verb in OWN:
        return (operation._replace(arguments=OWN[operation.verb].spoil(operation.arguments)),)
    return (Operation(operation.stage, *BEFORE[errno or "ENOENT"]), operation)


def errno_of(operation: Operation) -> str:
    """Tell the errno with which a stage fails that begins with this operation."""
    return OWN[operation.verb].errno if operation.verb in OWN else "ENOENT"


# --- what the supervisor sees ---------------------------------------------------------------------

made: list[real.Plan] = []
"""Every plan before its fault, in order."""


def root_tape(host: Host) -> Tape:
    """Make the root's tape, with the fault that is asked for."""
    return spoiled(real.root_tape(host), "root")


def sandbox_tape(*given: Any, **named: Any) -> Tape:
    """Make a sandbox's tape, with the fault that is asked for."""
    return spoiled(real.sandbox_tape(*given, **named), "sandbox")


def plan_run(*given: Any, **named: Any) -> real.Plan:
    """Plan a run, with the fault that is asked for."""
    plan = real.plan_run(*given, **named)
    made.append(plan)
    stage = fault.stage if (fault := asked()) else ""
    writes, program_tape = plan.cgroup_writes, spoiled(plan.program_tape, "program")
    if stage == "cgroup_limits" and writes:
        writes = (writes[0]._replace(value="impossible"), *writes[1:])
    if stage == "report":  # a stage's name that is no text
        program_tape = (Operation(7, *IMPOSSIBLE["ENOENT"]), *program_tape)  # type: ignore[arg-type]
    return replace(
        plan,
        cgroup_writes=writes,
        job_tape=spoiled(plan.job_tape, "job"),
        program_tape=program_tape,
    )


async def clone(zygote: nursery.Zygote, fields: tuple[Any, ...], fds: dict[str, int]) -> int:
    """Ask for a sandbox whose maps, or whose cgroup's owner, the kernel refuses."""
    fault = asked()
    uid_map, gid_map, owner, tape = fields
    if fault == Fault("id_maps"):
        uid_map = f"0 {NO_ID} 1\n"
    if fault == Fault("cgroup_hand_over"):
        owner = NO_ID
    return await _real_clone(zygote, (uid_map, gid_map, owner, tape), fds)


class Nursery(nursery.Nursery):
    """Has its launcher map ids that are nobody's subordinate ones, where that is asked for."""

    def __init__(self, identity: Identity, *given: Any) -> None:
        """Change the maps, or leave them."""
        if asked() == Fault("outer_namespace"):
            maps = idmap.outer_map(identity.uid, idmap.Range(1, 65536))
            identity = replace(identity, uid_map=maps)
        super().__init__(identity, *given)


_real_clone = nursery.Zygote.clone

WRAPPED: tuple[tuple[Any, str, Any], ...] = (
    (supervisor, "root_tape", root_tape),
    (supervisor, "sandbox_tape", sandbox_tape),
    (supervisor, "plan_run", plan_run),
    (supervisor, "Nursery", Nursery),
    (nursery.Zygote, "clone", clone),
)


def install(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Put the wrapped functions where the supervisor looks."""
    for place, name, wrapped in WRAPPED:
        put(place, name, wrapped)


def forget_tapes(house: House) -> None:
    """Have a supervisor ask anew for what it asks only once."""
    house.supervisor._sandbox_tapes.clear()  # noqa: SLF001 - nobody else changes a plan midway
    house.supervisor._root_tape = root_tape(house.host)  # noqa: SLF001 - the same


if __name__ == "__main__":
    from sandboxd.cli import main

    install()
    main()
