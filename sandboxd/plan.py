"""The plan: everything about one job, decided before anything is forked. Pure.

Compiles a job and the host's facts into id maps, cgroup values, and tapes. Read `sandbox_tape`,
`job_tape` and `_program_tape` top down: they are the order of isolation (docs/stages.md). What
many jobs have in common is compiled once.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sandboxd.host import placement_on
from sandboxd.kernel import (
    cgroups,
    files,
    idmap,
    landlock,
    mounts,
    namespaces,
    network,
    processes,
    seccomp,
    terminals,
)
from sandboxd.model.job import (
    DEFAULT_ENV,
    DEFAULT_OUTPUT_FILE_BYTES,
    WRITABLE_PLACES,
    Network,
    check_core,
    placed_path,
    size_of,
    writable_place_of,
)
from sandboxd.model.limits import ROWS, as_text
from sandboxd.model.outcome import EnforcedLimit
from sandboxd.model.policy import ProcMode
from sandboxd.offers import (
    KINDS_KNOWN,
    Kind,
    has_range,
    held,
    kind_of,
    processor_count_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from sandboxd.host import Host
    from sandboxd.model.job import InputFile, Job, OutputPath
    from sandboxd.model.limits import Limits
    from sandboxd.model.policy import Policy
    from sandboxd.model.tape import Operation, Tape


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """What a blank sandbox needs; jobs with equal plans can take each other's blank sandboxes."""

    root: str
    proc_mode: str
    has_quota: bool = False
    """Whether it can be held to a fraction of a processor."""
    is_shared: bool = False
    """Whether several programs share it, which see and signal one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one job needs, every value final."""

    sandbox: SandboxPlan
    limits: Limits
    policy: Policy
    notifies: bool
    """Whether the program's filter asks the daemon at some calls."""
    processors: tuple[int, ...]
    watches_memory: bool
    """Whether the daemon samples memory, because no controller limits it here."""
    cgroup_writes: tuple[cgroups.Write, ...]
    job_tape: Tape
    program_tape: Tape
    outputs: tuple[str, list[list[str | bool | int]]] | None
    terminal: tuple[int, int, bool] | None
    files_content: bytes
    blobs: tuple[str, ...]
    """SHA-256 of each blob that is placed; the n-th is the descriptor ``blob{n}``."""
    enforced: tuple[EnforcedLimit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What plans of one kind have in common."""

    sandbox: SandboxPlan
    limits: Limits
    policy: Policy
    cgroup_writes: tuple[cgroups.Write, ...]
    """Those without placed files."""
    program_tape: Tape
    """All but the exec."""
    enforced: tuple[EnforcedLimit, ...]


def plan_run(
    job: Job,
    host: Host,
    processors: tuple[int, ...],
    filter_bytes: tuple[int, int],
    kind: Kind | None = None,
) -> Plan:
    """Decide one run. `processors`: where it may run; `filter_bytes`: the sizes of its filters.

    `kind`: what it has in common with others, where that is known already.

    Raises:
        JobError: a limit is out of bounds.
        PreconditionError: the policy, the root, the network or a required enforcement is not here.

    """
    frame = _frame(kind or kind_of(job), host, processors, filter_bytes)
    limits = frame.limits
    check_core(job, limits.core_bytes)
    placed = sum(_pages(size_of(file.content)) for file in job.files)
    writes = frame.cgroup_writes
    if placed:
        writes = cgroups.writes_for(host.tree, limits, placed, processors)
    return Plan(
        sandbox=frame.sandbox,
        limits=limits,
        policy=frame.policy,
        notifies=filter_bytes[1] > 0,
        processors=processors,
        watches_memory=host.tree.limits_by("memory") is None,
        cgroup_writes=writes,
        job_tape=job_tape(job, limits, placed),
        program_tape=(
            *frame.program_tape,
            processes.execution(job.argv, {**DEFAULT_ENV, **job.env}),
        ),
        outputs=_outputs(job),
        terminal=_terminal(job),
        files_content=b"".join(f.content for f in job.files if isinstance(f.content, bytes)),
        blobs=_blobs(job),
        enforced=frame.enforced,
    )


def within(sandbox: Plan, program: Plan, wall_time: timedelta | None) -> Plan:
    """Give the plan of a program in a sandbox that stays, and whose limits watch all of it."""
    own = {"wall_time", "output_bytes"}
    enforced = (
        *(limit for limit in sandbox.enforced if limit.limit not in own),
        *(
            limit
            for limit in program.enforced
            if limit.limit in own and (limit.limit != "wall_time" or wall_time is not None)
        ),
    )
    limits = replace(program.limits, cpu_time=None, memory_bytes=None, wall_time=wall_time)
    return replace(program, limits=limits, enforced=enforced, outputs=None)


@lru_cache(KINDS_KNOWN)
def _frame(
    kind: Kind, host: Host, processors: tuple[int, ...], filter_bytes: tuple[int, int]
) -> _Frame:
    limits = held(kind, host)
    policy = host.policies[kind.policy]
    quota = cgroups.cpu_quota_us(limits) is not None
    return _Frame(
        sandbox=SandboxPlan(
            root=kind.root,
            proc_mode=policy.proc.value,
            has_quota=quota,
            is_shared=kind.is_shared,
        ),
        limits=limits,
        policy=policy,
        cgroup_writes=cgroups.writes_for(host.tree, limits, 0, processors),
        program_tape=_program_tape(kind, host, limits, processors, filter_bytes),
        enforced=(
            *_enforced(limits, host),
            *_own_processors(kind, host, processors),
            *_second_fence(kind, policy, host),
        ),
    )


def root_tape(host: Host) -> Tape:
    """Tape of a zygote: build the root `host` and move into it."""
    return mounts.root_tape(host.root_sources)


def sandbox_tape(host: Host, plan: SandboxPlan) -> Tape:
    """Tape of init: furnish a blank sandbox."""
    init_ids = (idmap.init_ids(keep_saved=bool(host.tree.v1)),) if has_range(host) else ()
    return (
        processes.init_signals(),
        # Before its ids change: v1 compares them.
        *cgroups.join(host.tree, "init", quota=plan.has_quota),
        *init_ids,
        *namespaces.init_process(),
        idmap.bounding_dropped(),  # here, not in the program: it is inherited, and paid ahead
        *_nesting(plan),
        *namespaces.watches_bounded(),
        *mounts.sandbox_proc(plan.proc_mode, is_shared=plan.is_shared),
        *mounts.scratch(idmap.PROGRAM_ID),
        namespaces.names(),
    )


def _nesting(plan: SandboxPlan) -> Tape:
    if plan.proc_mode == ProcMode.NESTED.value:
        return namespaces.nesting_bounded()
    return (namespaces.nesting_closed(),)


def job_tape(job: Job, limits: Limits, placed_bytes: int) -> Tape:
    """Tape of init: fit the sandbox to its one job."""
    inodes = len(_placed_inodes(job))
    size = (limits.scratch_bytes or 0) + placed_bytes
    working_directory: Tape = ()
    if writable_place_of(job.working_directory):
        path = job.working_directory
        working_directory = (_working_directory(path),)
    read_only = limits.scratch_bytes == 0 or limits.file_count == 0
    return (
        _scratch_size(size, inodes + (limits.file_count or 0)),
        *working_directory,
        *_placed(job),
        *((mounts.scratch_read_only(),) if read_only else ()),
        *((network.loopback_up(),) if job.network is Network.LOOPBACK else ()),
        *(terminals.mounted(idmap.PROGRAM_ID) if job.terminal else ()),
    )


def _placed(job: Job) -> Iterator[Operation]:
    """Place each file: from its part of ``files``, or from a blob as a whole."""
    offset, blobs = 0, _blobs(job)
    for file in job.files:
        mode = 0o755 if file.executable else 0o644
        where = placed_path(job, file.path), mode, idmap.PROGRAM_ID
        size = size_of(file.content)
        if isinstance(file.content, bytes):
            yield files.place(*where, offset, size)
            offset += size
        else:
            yield files.place(*where, 0, size, f"blob{blobs.index(file.content.sha256)}")


def _blobs(job: Job) -> tuple[str, ...]:
    found = (file.content.sha256 for file in job.files if not isinstance(file.content, bytes))
    return tuple(dict.fromkeys(found))


@lru_cache(KINDS_KNOWN)
def _scratch_size(size: int, inodes: int) -> Operation:
    return mounts.scratch_size(size, inodes)


@lru_cache(KINDS_KNOWN)
def _working_directory(path: str) -> Operation:
    return files.make_working_directory(path, idmap.PROGRAM_ID)


def _program_tape(
    kind: Kind,
    host: Host,
    limits: Limits,
    processors: tuple[int, ...],
    filter_bytes: tuple[int, int],
) -> Tape:
    """Tape of the program: everything between fork and exec, which comes last and is the job's."""
    policy = host.policies[kind.policy]
    network = kind.network is not Network.NONE
    quota = cgroups.cpu_quota_us(limits) is not None
    return (
        *cgroups.join(host.tree, "program", quota=quota),
        *_session(host, processors),
        *(terminals.controlling() if kind.has_terminal else ()),
        *(idmap.program_ids() if has_range(host) else ()),
        idmap.capabilities_dropped(),
        *processes.state(descriptor_names(kind.wired, merged=kind.merged), kind.working_directory),
        *(
            landlock.scopes_only(host.landlock_abi)
            if policy.is_nested
            else landlock.restriction(
                host.landlock_abi, WRITABLE_PLACES, network=network, is_shared=kind.is_shared
            )
        ),
        *seccomp.notices_installed(*filter_bytes),
        # Only now: rulesets and listeners need a descriptor more than the program may be allowed.
        processes.rlimits(_own_rlimits(policy, limits), _process_rlimit(limits, host)),
        seccomp.filter_installed(filter_bytes[0]),
    )


def descriptor_names(wired: tuple[int, ...], *, merged: bool) -> tuple[str, ...]:
    """Name the descriptors of a program as they travel to init, from 0 on.

    Those that are ends of pipes (`wired`) may leave gaps: these are /dev/null.
    """
    further = range(3, max(wired, default=0) + 1)
    return (
        *("stdin", "stdout", "stdout" if merged else "stderr"),
        *(f"fd{number}" if number in wired else "null" for number in further),
    )


def _session(host: Host, processors: tuple[int, ...]) -> Tape:
    """Give the program its session.

    A sandboxd in a sandbox, whose ids are `single`, may set no affinity, not even the one that its
    jobs inherit anyway.
    """
    inherited = processors == host.processors and not has_range(host)
    return (*processes.session(), *(() if inherited else (processes.affinity(processors),)))


def _own_rlimits(policy: Policy, limits: Limits) -> Limits:
    """Leave out RLIMIT_CPU around nested sandboxes.

    It only stands behind the deadline, but would be a ceiling for what inner ones may ask for.
    """
    return replace(limits, cpu_time=None) if policy.is_nested else limits


def _process_rlimit(limits: Limits, host: Host) -> int | None:
    """Count processes by rlimit where no pids controller does; a shared id counts init, too."""
    if host.tree.limits_by("pids") or limits.process_count is None:
        return None
    return limits.process_count + (0 if has_range(host) else 1)


def _placed_inodes(job: Job) -> set[str]:
    """Name every file and directory that placing makes; the writable places exist already."""
    found: set[str] = set()
    paths = [placed_path(job, file.path) for file in job.files]
    if writable_place_of(job.working_directory):
        paths.append(job.working_directory)
    for path in paths:
        current = path
        while current not in WRITABLE_PLACES and current != "/":
            found.add(current)
            current = posixpath.dirname(current)
    return found


def files_tape(placed: tuple[InputFile, ...], directory: str) -> tuple[Tape, bytes]:
    """Give the tape that writes files in place of what is there, and the bytes of them all."""
    tape, content = [], b"".join(f.content for f in placed if isinstance(f.content, bytes))
    offset = 0
    for file in placed:
        path = posixpath.join(directory, file.path)
        size = size_of(file.content)
        mode = 0o755 if file.executable else 0o644
        tape.append(files.replace(path, mode, idmap.PROGRAM_ID, offset, size))
        offset += size
    return tuple(tape), content


def outputs_wanted(outputs: tuple[OutputPath, ...]) -> list[list[str | bool | int]]:
    """Say for init which files are wanted."""
    return [
        [output.path, output.optional, output.max_bytes or DEFAULT_OUTPUT_FILE_BYTES]
        for output in outputs
    ]


def _outputs(job: Job) -> tuple[str, list[list[str | bool | int]]] | None:
    return (job.working_directory, outputs_wanted(job.outputs)) if job.outputs else None


def _terminal(job: Job) -> tuple[int, int, bool] | None:
    return (job.terminal.rows, job.terminal.columns, job.terminal.echo) if job.terminal else None


def _enforced(limits: Limits, host: Host) -> tuple[EnforcedLimit, ...]:
    found = []
    for row in ROWS:
        value = getattr(limits, row.name)
        if value is not None:
            mechanism = host.mechanisms[row.name]
            if row.name == "cpu_count" and cgroups.cpu_quota_us(limits) is None:
                mechanism = placement_on(host.tree)
            elif row.name == "cpu_count" and not host.tree.limits_by("cpu"):
                value = float(processor_count_for(limits))  # nothing here holds a fraction
            found.append(EnforcedLimit(row.name, as_text(row, value), mechanism))
    return tuple(found)


def _own_processors(
    kind: Kind, host: Host, processors: tuple[int, ...]
) -> tuple[EnforcedLimit, ...]:
    if not kind.exclusive_cpus:
        return ()
    value = ",".join(map(str, processors))
    return (EnforcedLimit("exclusive_cpus", value, placement_on(host.tree)),)


def _second_fence(kind: Kind, policy: Policy, host: Host) -> tuple[EnforcedLimit, ...]:
    """Say what Landlock holds; a job for sandboxes goes without its rights on files and TCP."""
    abi = host.landlock_abi
    files, network = not policy.is_nested, kind.network is not Network.NONE
    fenced = landlock.held(abi, files=files, network=network, is_shared=kind.is_shared)
    fence = (EnforcedLimit("landlock", fenced, f"Landlock ABI {abi}"),) if fenced else ()
    if kind.is_shared:  # its programs may signal one another, each in a domain of its own
        fence = (*fence, EnforcedLimit("landlock", "signals, abstract sockets", "none"))
    if files and fenced:
        return fence
    return (*fence, EnforcedLimit("landlock", "files, TCP", "none"))


def _pages(size: int) -> int:
    return -(-size // mounts.PAGE_BYTES) * mounts.PAGE_BYTES
