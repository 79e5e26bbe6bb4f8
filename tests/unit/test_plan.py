"""The plan decides everything about a job: stages in order, values final, nothing hidden."""

from __future__ import annotations

import json
import posixpath
import string
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import JobError, PreconditionError
from sandboxd.host import Host, mechanisms_for
from sandboxd.identity import Identity, IdMode
from sandboxd.kernel import cgroups, idmap, mounts, seccomp
from sandboxd.kernel.cgroups import INIT_OVERHEAD_BYTES, UNIFIED, Rung, Tree, Write
from sandboxd.kernel.mounts import Source
from sandboxd.model.blob import Digest
from sandboxd.model.job import DEFAULT_ENV, WRITABLE_PLACES, InputFile, Job, Network, OutputPath
from sandboxd.model.limits import MIB, ROWS, Limits, built_in
from sandboxd.model.outcome import EnforcedLimit
from sandboxd.model.tape import encoded
from sandboxd.offers import check_job, processor_count_for
from sandboxd.plan import Plan, plan_run, root_tape, sandbox_tape
from sandboxd.runtime.tapes import VERBS

if TYPE_CHECKING:
    from sandboxd.model.tape import Tape

V1_PATHS = {UNIFIED: "/u", "memory": "/m", "pids": "/p", "cpuacct": "/a", "cpu": "/c"}
TREES = {
    "v2": Tree(Rung.V2, {UNIFIED: "/u"}, frozenset({"cpu", "memory", "pids"})),
    "v2-bare": Tree(Rung.V2_BARE, {UNIFIED: "/u"}),
    "v1": Tree(Rung.V1, V1_PATHS),
    "none": Tree(Rung.NONE, {}),
}
SOURCES = (
    Source("/usr", "directory"),
    Source("/bin", "link", "usr/bin"),
    Source("/etc/ld.so.cache", "file"),
    Source("/etc/ssl/certs", "directory"),
    Source("/opt/tools", "directory"),
)
TOTAL = 64 * MIB + INIT_OVERHEAD_BYTES
LIMITS = Limits(memory_bytes=64 * MIB, process_count=7, cpu_count=0.5)


def host_on(rung: str = "v1", mode: IdMode = IdMode.RANGE) -> Host:
    tree = TREES[rung]
    id_map = idmap.outer_map(1001, idmap.Range(100000, 65536) if mode is IdMode.RANGE else None)
    return Host(
        version="0",
        kernel_release="6.1",
        identity=Identity(1001, 1001, mode, id_map, id_map, started_as_root=False),
        tree=tree,
        landlock_abi=7,
        processors=(0, 1, 2, 3),
        memory_bytes=1 << 34,
        slot_count=4,
        queue_length=10,
        defaults=built_in("default"),
        ceilings=replace(built_in("ceiling"), cpu_count=4.0),
        mechanisms=mechanisms_for(tree),
        policies=seccomp.load_policies([str(seccomp.policies_directory())]),
        root_sources=SOURCES,
        weaknesses=(),
    )


HOSTS = {(rung, mode): host_on(rung, mode) for rung in TREES for mode in IdMode}
HOST = HOSTS["v1", IdMode.RANGE]


def plan(host: Host = HOST, **fields: object) -> Plan:
    return plan_run(Job(**{"argv": ("true",), **fields}), host, (0,), (100, 0))


def stages(tape: Tape) -> list[str]:
    """Name the stages in order, each once for a run of equal ones."""
    names = [operation.stage for operation in tape]
    return [name for name, before in zip(names, [None, *names], strict=False) if name != before]


def tapes_of(found: Plan, host: Host) -> list[Tape]:
    return [root_tape(host), sandbox_tape(host, found.sandbox), found.job_tape, found.program_tape]


def test_the_root_is_built_in_the_order_of_isolation() -> None:
    assert stages(root_tape(HOST)) == [
        "private_mounts",
        "root_tmpfs",
        "root_binds",
        "root_files",
        "devices",
        "mount_points",
        "root_proc",
        "root_read_only",
        "pivot",
    ]


def test_a_sandbox_is_furnished_in_the_order_of_isolation() -> None:
    assert stages(sandbox_tape(HOST, plan().sandbox)) == [
        "init_signals",
        "init_cgroup",
        "init_ids",
        "init_dumpable",
        "init_oom_score",
        "init_undumpable",
        "init_death_signal",
        "session_keyring",
        "bounding_capabilities",
        "nesting",
        "watches",
        "proc",
        "scratch",
        "names",
    ]


def test_the_program_becomes_what_it_is_in_the_order_of_isolation() -> None:
    assert stages(plan().program_tape) == [
        "program_cgroup",
        "cgroup_namespace",
        "session",
        "affinity",
        "program_groups",
        "program_ids",
        "capabilities",
        "signals",
        "umask",
        "descriptors",
        "working_directory",
        "no_new_privileges",
        "landlock",
        "rlimits",
        "seccomp",
        "exec",
    ]


def test_a_job_is_fitted_in_the_order_of_isolation() -> None:
    fields = {"files": (InputFile("a", b"x"),), "network": Network.LOOPBACK}
    assert stages(plan(**fields).job_tape) == [
        "scratch_size",
        "working_directory",
        "place_files",
        "network",
    ]
    read_only = plan(**fields, limits=Limits(scratch_bytes=0))
    assert stages(read_only.job_tape)[-2:] == ["scratch_size", "network"]


@pytest.mark.parametrize(("rung", "mode"), HOSTS)
def test_every_operation_is_of_the_closed_set_and_can_be_told_and_sent(
    rung: str, mode: IdMode
) -> None:
    host = HOSTS[rung, mode]
    found = plan(host, files=(InputFile("a/b", b"x"),), network=Network.LOOPBACK)
    for tape in tapes_of(found, host):
        for operation in tape:
            assert VERBS[operation.verb].describe(operation)
            wire = operation.to_wire()
            # Tuples become lists: nothing of a tape may depend on the difference.
            assert json.loads(json.dumps(wire)) == json.loads(json.dumps(list(operation[:2]))) + [
                json.loads(json.dumps(argument)) for argument in operation.arguments
            ]


@pytest.mark.parametrize(
    ("rung", "leaves"),
    [
        ("v2", {"init": (), "program": ()}),
        ("v2-bare", {"init": (), "program": ()}),
        ("none", {"init": (), "program": ()}),
        (
            "v1",
            {
                "init": ("memory/init/tasks",),
                "program": ("memory/program/tasks", "pids/program/tasks"),
            },
        ),
    ],
)
def test_processes_join_only_v1_leaves_by_themselves(
    rung: str, leaves: dict[str, tuple[str, ...]]
) -> None:
    tree = TREES[rung]
    for leaf, names in leaves.items():
        assert tuple(cgroups.join_descriptors(tree, leaf, quota=False)) == names
        joined = cgroups.join(tree, leaf, quota=False)
        assert [op.arguments for op in joined] == (
            [tuple({"fd": n} for n in names)] if names else []
        )
    tape = plan(HOSTS[rung, IdMode.RANGE]).program_tape
    assert (tape[0].stage == "program_cgroup") == bool(leaves["program"])


def test_each_sandbox_has_the_directories_that_its_job_needs_and_no_other() -> None:
    both = ((UNIFIED, ""), (UNIFIED, "init"), (UNIFIED, "program"))
    one = ((UNIFIED, ""), (UNIFIED, "program"))
    v1 = (("memory", ""), ("memory", "program"), ("pids", ""))
    old = Tree(Rung.V1, {n: path for n, path in V1_PATHS.items() if n != UNIFIED})
    for tree, quota, expected in (
        (TREES["v2"], False, both),
        (TREES["v2"], True, both),
        (TREES["v2-bare"], True, one),
        (TREES["v1"], False, one + v1),
        (TREES["v1"], True, (*one, *v1, ("cpu", ""))),
        (old, False, (*v1, ("cpuacct", ""))),
        (TREES["none"], True, ()),
    ):
        assert cgroups.directories_for(tree, quota=quota) == expected


def test_only_a_job_that_asks_for_a_fraction_of_a_processor_is_put_under_a_quota() -> None:
    whole, half = plan(limits=Limits(cpu_count=2.0)), plan(limits=Limits(cpu_count=0.5))
    assert (whole.sandbox.has_quota, half.sandbox.has_quota) == (False, True)
    joined = half.program_tape[0].arguments
    assert joined == (*whole.program_tape[0].arguments, {"fd": "cpu/program/tasks"})


def test_what_jobs_have_in_common_is_planned_once_and_what_they_have_not_is_their_own() -> None:
    one, other = plan(argv=("a",)), plan(argv=("b",), env={"A": "1"}, stdin=b"x")
    assert all(a is b for a, b in zip(one.program_tape[:-1], other.program_tape[:-1], strict=True))
    assert one.program_tape[-1] != other.program_tape[-1]
    for change in (
        {"limits": Limits(memory_bytes=MIB)},
        {"policy": "strict"},
        {"network": Network.LOOPBACK},
        {"working_directory": "/tmp"},
        {"merge_stderr": True},
    ):
        assert plan(argv=("a",), **change) != one


def test_a_tape_is_encoded_as_what_it_says() -> None:
    for tape in tapes_of(plan(env={"A": "\udcff"}), HOST):
        assert json.loads(encoded(tape)) == json.loads(json.dumps([op.to_wire() for op in tape]))


def test_v1_is_joined_while_the_ids_are_still_ours() -> None:
    names = stages(sandbox_tape(HOST, plan().sandbox))
    assert names.index("init_cgroup") < names.index("init_ids")
    names = stages(plan().program_tape)
    assert names.index("program_cgroup") < names.index("program_ids")
    assert names.index("cgroup_namespace") == names.index("program_cgroup") + 1


def test_without_a_range_no_ids_are_changed() -> None:
    host = HOSTS["v1", IdMode.SINGLE]
    found = plan(host)
    changed = {"init_ids", "program_ids", "program_groups"}
    assert not changed & {s for tape in tapes_of(found, host) for s in stages(tape)}


WRITES = {
    "none": (),
    "v2-bare": (),
    "v2": (
        Write(UNIFIED, "cgroup.subtree_control", "+cpu +memory +pids"),
        Write(UNIFIED, "memory.max", str(TOTAL)),
        Write(UNIFIED, "memory.swap.max", "0"),
        Write(UNIFIED, "program/memory.max", str(64 * MIB)),
        Write(UNIFIED, "program/memory.oom.group", "1"),
        Write(UNIFIED, "program/pids.max", "7"),
        Write(UNIFIED, "program/cpu.max", "50000 100000"),
    ),
    "v1": (
        Write("memory", "memory.limit_in_bytes", str(TOTAL)),
        Write("memory", "memory.memsw.limit_in_bytes", str(TOTAL)),
        Write("memory", "program/memory.limit_in_bytes", str(64 * MIB)),
        Write("memory", "program/memory.memsw.limit_in_bytes", str(64 * MIB)),
        Write("memory", "program/memory.kmem.tcp.limit_in_bytes", str(64 * MIB)),
        Write("pids", "pids.max", "7"),
        Write("cpu", "cpu.cfs_period_us", "100000"),
        Write("cpu", "cpu.cfs_quota_us", "50000"),
    ),
}


@pytest.mark.parametrize("rung", TREES)
def test_cgroup_values_are_written_in_the_order_that_the_kernel_asks_for(rung: str) -> None:
    assert plan(HOSTS[rung, IdMode.RANGE], limits=LIMITS).cgroup_writes == WRITES[rung]


def test_placed_files_count_for_the_whole_sandbox_and_not_for_the_program() -> None:
    files = (InputFile("a", bytes(1)), InputFile("b", bytes(4097)))
    writes = plan(limits=LIMITS, files=files).cgroup_writes
    values = {write.file: write.value for write in writes}
    assert values["memory.limit_in_bytes"] == str(TOTAL + 3 * 4096)
    assert values["program/memory.limit_in_bytes"] == str(64 * MIB)


def test_whole_processors_are_held_by_affinity_and_fractions_by_a_quota_too() -> None:
    def quota(count: float) -> list[Write]:
        writes = plan(limits=Limits(cpu_count=count)).cgroup_writes
        return [write for write in writes if write.hierarchy == "cpu"]

    assert quota(1) == quota(2.0) == []
    assert quota(1.5)[-1].value == "150000"
    assert quota(0.001)[-1].value == "1000", "the least that the kernel takes"
    assert [processor_count_for(Limits(cpu_count=c)) for c in (0.1, 1, 1.5, 4)] == [1, 1, 2, 4]


# --- mounts ---------------------------------------------------------------------------------------


def mount_points(tape: Tape) -> list[str]:
    found = []
    for operation in tape:
        if operation.verb == "mount" and not int(operation.arguments[3]) & mounts.MS_REMOUNT:
            found.append(str(operation.arguments[1]))
        elif operation.verb in {"bind", "mask", "mask_directory"}:
            found.append(str(operation.arguments[0 if operation.verb != "bind" else 1]))
    return found


def hidden(points: list[str]) -> list[tuple[str, str]]:
    """Name every mount that a later one covers, together with that one."""
    return [
        (earlier, later)
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if (earlier + "/").startswith(later.rstrip("/") + "/")
    ]


def test_no_mount_of_the_root_hides_an_earlier_one() -> None:
    tape = root_tape(HOST)
    assert hidden(mount_points(tape)[1:]) == [], "the first only makes everything private"


@pytest.mark.parametrize("mode", ["subset", "compat", "nested"])
def test_no_mount_of_a_sandbox_hides_an_earlier_one_but_the_scratch_its_own_parts(
    mode: str,
) -> None:
    points = mount_points((*mounts.sandbox_proc(mode), *mounts.scratch(1000)))
    assert hidden(points) == [(mounts.SCRATCH, mounts.SCRATCH)]
    assert points[-1] == mounts.SCRATCH


names = st.text(string.ascii_lowercase, min_size=1, max_size=3)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(paths, unique=True, max_size=6))
def test_no_source_of_any_host_is_hidden_when_parents_come_first(places: list[str]) -> None:
    sources = [Source(path, "directory") for path in sorted(places)]
    tape = mounts.root_tape(sources)
    assert hidden(mount_points(tape)[1:]) == []


@given(st.lists(paths, unique=True, max_size=6))
def test_the_parent_of_whatever_the_root_shows_is_made_before(places: list[str]) -> None:
    kinds = ("directory", "file")
    tape = mounts.root_tape([Source(path, kinds[len(path) % 2]) for path in sorted(places)])
    made = {mounts.NEW_ROOT}
    for operation in tape:
        path = str(operation.arguments[0]) if operation.arguments else ""
        if operation.verb == "make_directory":  # and whatever is missing above it
            while path not in made:
                made.add(path)
                path = posixpath.dirname(path)
        elif operation.verb == "make_file":
            assert posixpath.dirname(path) in made, path
        elif operation.verb in {"bind", "copy_file"}:
            target = str(operation.arguments[1])
            assert posixpath.dirname(target) in made, target


def test_everything_that_the_root_shows_is_read_only_and_inert() -> None:
    binds = [operation for operation in root_tape(HOST) if operation.verb == "bind"]
    shown = {operation.arguments[0] for operation in binds}
    assert shown >= {source.path for source in SOURCES if source.kind == "directory"}
    for operation in binds:
        attributes = int(operation.arguments[2])
        assert attributes & mounts.MOUNT_ATTR_RDONLY
        assert attributes & mounts.MOUNT_ATTR_NOSUID
        inert = mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
        assert attributes & inert, "a device that cannot be executed, or files that are no device"


def test_the_root_is_read_only_before_anybody_moves_in() -> None:
    *_, read_only, move = root_tape(HOST)
    assert int(read_only.arguments[3]) & mounts.MS_RDONLY
    assert (read_only.stage, move.verb) == ("root_read_only", "pivot")


@given(st.integers(0, 1 << 40), st.integers(-5, 1 << 20))
def test_scratch_is_never_sized_zero_which_would_mean_without_limit(size: int, count: int) -> None:
    options = dict(
        option.split("=") for option in mounts.scratch_size(size, count).arguments[4].split(",")
    )
    assert int(options["size"]) >= max(size, 4096)
    assert int(options["size"]) < size + 2 * 4096
    assert int(options["nr_inodes"]) == mounts.SCRATCH_INODES + max(0, count)


def test_a_remount_repeats_the_flags_that_it_would_lose() -> None:
    for operation in (mounts.scratch_size(1, 1), mounts.scratch_read_only()):
        flags = int(operation.arguments[3])
        assert flags & mounts.MS_NOSUID
        assert flags & mounts.MS_NODEV


# --- the job --------------------------------------------------------------------------------------


def test_placed_files_leave_the_program_the_space_and_the_count_that_it_asked_for() -> None:
    files = (InputFile("a/b/c", bytes(5000)), InputFile("a/d", b""), InputFile("/tmp/e", b"x"))
    limits = Limits(scratch_bytes=8192, file_count=3)
    size = plan(files=files, limits=limits, working_directory="/workspace/w").job_tape[0]
    # w, a, b, c, d, e: six inodes; 2 + 0 + 1 pages.
    assert size.arguments[4] == f"size={8192 + 3 * 4096},nr_inodes={mounts.SCRATCH_INODES + 6 + 3}"


def test_each_file_is_placed_from_its_own_part_of_the_content() -> None:
    files = (InputFile("a", b"12"), InputFile("/tmp/b", b"345", executable=True))
    found = plan(files=files)
    placed = [op.arguments for op in found.job_tape if op.verb == "place_file"]
    assert placed == [
        ("workspace/a", 0o644, 1000, {"fd": "files"}, 0, 2),
        ("tmp/b", 0o755, 1000, {"fd": "files"}, 2, 3),
    ]
    assert found.files_content == b"12345"


def test_each_blob_is_a_descriptor_of_its_own_and_counts_as_placed() -> None:
    first, second = Digest("1" * 64, 5000), Digest("2" * 64, 0)
    files = (
        InputFile("a", first),
        InputFile("b", b"12"),
        InputFile("c", second),
        InputFile("d", first, executable=True),
    )
    found = plan(files=files, limits=Limits(scratch_bytes=8192))
    placed = [op.arguments for op in found.job_tape if op.verb == "place_file"]
    assert placed == [
        ("workspace/a", 0o644, 1000, {"fd": "blob0"}, 0, 5000),
        ("workspace/b", 0o644, 1000, {"fd": "files"}, 0, 2),
        ("workspace/c", 0o644, 1000, {"fd": "blob1"}, 0, 0),
        ("workspace/d", 0o755, 1000, {"fd": "blob0"}, 0, 5000),
    ]
    assert (found.files_content, found.blobs) == (b"12", (first.sha256, second.sha256))
    size = str(found.job_tape[0].arguments[4]).split(",")[0]
    assert size == f"size={8192 + (2 + 1 + 0 + 2) * 4096}"


def test_the_environment_is_the_four_defaults_and_what_is_asked() -> None:
    last = plan(env={"A": "1", "HOME": "/tmp"}).program_tape[-1]
    argv, pairs, report = last.arguments
    assert argv == ["true"]
    assert dict(pairs) == {**DEFAULT_ENV, "A": "1", "HOME": "/tmp"}
    assert report == {"fd": "report"}


def test_merged_streams_are_one_descriptor() -> None:
    def descriptors(**fields: object) -> list[str]:
        (found,) = (o for o in plan(**fields).program_tape if o.verb == "set_descriptors")
        return [argument["fd"] for argument in found.arguments]

    assert descriptors() == ["stdin", "stdout", "stderr"]
    assert descriptors(merge_stderr=True) == ["stdin", "stdout", "stdout"]


def test_landlock_lets_tcp_pass_only_with_a_network_and_writes_only_in_writable_places() -> None:
    def restriction(**fields: object) -> tuple[object, ...]:
        (found,) = (o for o in plan(**fields).program_tape if o.verb == "restrict")
        return found.arguments

    assert restriction()[2] == 3
    assert restriction(network=Network.LOOPBACK)[2] == 0
    places = [place for place, _ in restriction()[4]]
    assert places == ["/", "/dev", *WRITABLE_PLACES]
    without = plan(replace(HOST, landlock_abi=0)).program_tape
    assert "landlock" not in stages(without)


def test_outputs_are_asked_for_below_the_working_directory() -> None:
    wanted = (OutputPath("a"), OutputPath("*.o", optional=True, max_bytes=7))
    found = plan(outputs=wanted, working_directory="/tmp/w").outputs
    assert found == ("/tmp/w", [["a", False, 16 * MIB], ["*.o", True, 7]])
    assert plan().outputs is None


@pytest.mark.parametrize("rung", TREES)
def test_every_limit_is_echoed_with_what_holds_it(rung: str) -> None:
    limits = Limits(address_space_bytes=1 << 30)
    enforced = plan(HOSTS[rung, IdMode.RANGE], limits=limits).enforced
    assert [entry.limit for entry in enforced] == [*(row.name for row in ROWS), "landlock"]
    assert all(entry.mechanism not in {"", "none"} for entry in enforced)


def test_a_fraction_that_nothing_holds_is_not_claimed() -> None:
    def cpu_count(rung: str, count: float) -> tuple[str, str]:
        found = plan(HOSTS[rung, IdMode.RANGE], limits=Limits(cpu_count=count)).enforced
        (entry,) = (entry for entry in found if entry.limit == "cpu_count")
        return entry.value, entry.mechanism

    assert cpu_count("none", 0.5) == ("1", "affinity")
    assert cpu_count("none", 2) == ("2", "affinity")
    assert cpu_count("v2", 0.5) == ("0.5", "affinity, cgroup2 cpu.max")
    assert cpu_count("v2", 2) == ("2", "affinity")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"policy": "unknown"}, "POLICY_UNKNOWN"),
        ({"root": "unknown"}, "ROOT_UNKNOWN"),
        ({"require": ("unknown",)}, "ENFORCEMENT_UNAVAILABLE"),
        ({"require": ("cgroups",)}, "ENFORCEMENT_UNAVAILABLE"),
        ({"require": ("memory_bytes", "range-ids", "")}, "ENFORCEMENT_UNAVAILABLE"),
    ],
)
def test_what_this_host_does_not_offer_is_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(PreconditionError) as refused:
        plan(HOSTS["none", IdMode.RANGE], **fields)
    assert refused.value.reason == reason
    assert refused.value.remedy


def test_what_this_host_enforces_can_be_required() -> None:
    assert plan(require=("memory_bytes", "cgroups", "cgroup-kill", "range-ids", "landlock"))


def test_a_limit_above_the_ceiling_is_refused() -> None:
    with pytest.raises(JobError) as refused:
        plan(limits=Limits(cpu_count=5, wall_time=timedelta(days=1)))
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["limits.wall_time", "limits.cpu_count"]


def test_a_jobs_stages_are_distinct_from_one_another() -> None:
    found = plan(files=(InputFile("a", b""),))
    for tape in tapes_of(found, HOST):
        named = stages(tape)
        assert all(one != other for one, other in pairwise(named))


# --- processors of its own ------------------------------------------------------------------------


def test_a_job_that_has_processors_for_itself_is_told_which() -> None:
    job = Job(argv=("true",), limits=Limits(cpu_count=2), exclusive_cpus=True)
    found = plan_run(job, HOST, (1, 3), (100, 0)).enforced
    assert [entry for entry in found if entry.limit == "exclusive_cpus"] == [
        EnforcedLimit("exclusive_cpus", "1,3", "affinity")
    ]
    assert "exclusive_cpus" not in {entry.limit for entry in plan().enforced}


def test_more_processors_for_one_job_than_can_ever_be_free_are_refused() -> None:
    job = Job(argv=("true",), limits=Limits(cpu_count=3.5), exclusive_cpus=True)
    assert check_job(job, HOST).cpu_count == 3.5
    with pytest.raises(PreconditionError, match="4 processors of its own: this host has 3 "):
        check_job(job, replace(HOST, shared_cpu_count=1))
    check_job(replace(job, exclusive_cpus=False), replace(HOST, shared_cpu_count=1))
