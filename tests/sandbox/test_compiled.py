"""The compiled zygote and the Python one make the same sandbox, and answer in the same words."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from house import House, fewer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandboxd import compiled
from sandboxd.host import Settings
from sandboxd.model.job import InputFile, Network, OutputPath, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, NotStarted, RunResult
from sandboxd.runtime.tapes import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[House, House]

OF_THE_ROOT = {"bind", "copy_file", "make_directory", "make_file", "make_link", "pivot"}
"""What only the tape of the root does, which Python executes in any case."""

EVERYTHING = """
exec 2>&1
grep -hvE 'State|Vm|Rss|Threads|ctxt|Pid|Hugetlb|_allowed' /proc/self/status /proc/1/status
cat /proc/self/limits /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
cat /proc/self/mountinfo /proc/self/cgroup /proc/self/oom_score_adj
echo /proc/self/fd/* /proc/[0-9]*; ls /proc/sys /sys
id; umask; pwd; hostname; domainname; env | sort; ls -lan --time-style=+ / /dev /tmp /workspace
cut -d' ' -f4-6 /proc/self/stat; ulimit -a; trap; df -i /tmp; cat /proc/keys
unshare -U true; mount -t tmpfs x /tmp; keyctl show; kill -9 1; ip link; cat /proc/net/dev
"""
NEW_EACH_TIME = re.compile(
    rb"(?m)^\d+ \d+ \d+:\d+|\(pid \d+\)|uid=\d+,gid=\d+| +\d+ +1$|^dr-xr-xr-x \d+.* proc$"
)
"""Mounts' numbers, ids of the host, how many processes it has."""


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with House(Settings(compiled=True)) as one, House(Settings(compiled=False)) as other:
        assert one.host.compiled, "it has not been built: scripts/install.sh does"
        yield one, other


def same(both: Pair, *argv: str, **fields: object) -> RunResult:
    """Run one job in both, and see that the answers are equal."""
    results = [house.run(*argv, **fields) for house in both]
    answers = [
        (
            *(one.ending, one.outcome.enforced, one.outcome.limits_touched, one.files),
            *(NEW_EACH_TIME.sub(b"", s.data).splitlines() for s in (one.stdout, one.stderr)),
        )
        for one in results
    ]
    assert answers[0] == answers[1]
    return results[0]


def test_both_know_the_same_verbs() -> None:
    source = (compiled.SOURCES / "verbs.h").read_text()
    assert set(re.findall(r"VERB\((\w+)\),", source)) == set(VERBS) - OF_THE_ROOT


@pytest.mark.parametrize("policy", ["default", "build", "nested"])
def test_a_program_sees_the_same_sandbox(both: Pair, policy: str) -> None:
    assert len(same(both, "/bin/bash", "-c", EVERYTHING, policy=policy).stdout.data) > 4000


def test_a_program_sees_the_same_terminal_and_network(both: Pair) -> None:
    script = "tty; stty -a; ls -ln /dev/pts; cat /proc/net/dev; echo over"
    for terminal in (Terminal(rows=3, columns=70), Terminal(echo=False)):
        same(both, "/bin/sh", "-c", script, terminal=terminal, network=Network.LOOPBACK)


def test_limits_and_asked_calls_end_a_program_alike(both: Pair) -> None:
    for limits in (Limits(open_file_count=4), Limits(scratch_bytes=0), Limits(file_count=1)):
        same(both, "/bin/sh", "-c", "ulimit -a; echo x > f; exit 3", limits=limits)
    same(both, "/bin/sh", "-c", "true; /bin/true", policy="strict")
    same(both, "/bin/sh", "-c", "head -c 9000000 /dev/zero", limits=Limits(output_bytes=MIB))


@pytest.mark.parametrize(
    "argv",
    [("no-such",), ("/etc/passwd",), ("/tmp",), ("/usr/bin/../bin/absent",), ("f",), ("./g",)],
)
def test_what_cannot_start_is_told_alike(both: Pair, argv: tuple[str, ...]) -> None:
    files = (InputFile("f", b"x", executable=True), InputFile("g", b"#!/none\n", executable=True))
    env = {"PATH": ":/usr/bin:/etc::/workspace"}
    result = same(both, *argv, files=files, env=env)
    assert isinstance(result.ending, NotStarted) or argv == ("f",)
    same(both, *argv, env={"PATH": ""}, working_directory="/usr/share")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
raw = st.binary(max_size=6).map(lambda some: os.fsdecode(some.replace(b"\0", b"")))
names = (texts | raw).filter(lambda n: n not in {"", ".", ".."} and "/" not in n)
globs = st.lists(
    st.sampled_from(["*", "?", "**", "[!a]*", "[a-c]", "[]-]*", "a[", "[a-", "*.o", "é*", "[é-ü]?"])
    | st.text("ab*?[]!-é", min_size=1, max_size=6),
    min_size=1,
    max_size=3,
).map("/".join)
NAMES = ["a", "b", "c", "ab", "a.o", "b.o", "é", "ü", "-", "]", "x["]
few = settings(
    max_examples=fewer(40), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@few
@given(st.lists(texts | raw, max_size=4), st.dictionaries(names, texts | raw, max_size=3))
def test_any_argument_and_variable_arrives_alike(
    both: Pair, arguments: list[str], env: dict[str, str]
) -> None:
    env = {name.replace("=", "_"): value for name, value in env.items()}
    script = (
        "import os, sys; print([os.fsencode(a) for a in sys.argv], sorted(os.environb.items()))"
    )
    same(both, "/usr/bin/python3", "-I", "-c", script, *arguments, env=env)


@few
@given(
    st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)),
    st.lists(globs, min_size=1, max_size=3, unique=True),
)
def test_any_pattern_brings_out_the_same_files(
    both: Pair, tree: list[list[str]], patterns: list[str]
) -> None:
    made = "".join(
        f"mkdir -p '{'/'.join(path[:-1]) or '.'}'; echo {n} > '{'/'.join(path)}';"
        for n, path in enumerate(tree)
    )
    outputs = tuple(OutputPath(pattern) for pattern in patterns)
    result = same(both, "/bin/sh", "-c", f"exec 2>/dev/null; {made} exit 0", outputs=outputs)
    assert result.ending == Exited(0)


@few
@given(st.lists(raw.filter(lambda n: n not in {"", ".", ".."} and "/" not in n), max_size=5))
def test_any_name_comes_out_alike(both: Pair, found: list[str]) -> None:
    script = "import sys; [open(name, 'wb').close() for name in sys.argv[1:]]"
    outputs = (OutputPath("*"), OutputPath("?"), OutputPath("[!a]?"))
    result = same(both, "/usr/bin/python3", "-c", script, *found, outputs=outputs)
    assert result.ending == Exited(0)


def test_a_file_that_a_pattern_finds_many_times_counts_once(both: Pair) -> None:
    deep = "s/s/s/s/s/s/s"
    script = f"for n in $(seq 150); do mkdir -p {deep}/$n; echo > {deep}/$n/t; done"
    result = same(both, "/bin/sh", "-c", script, outputs=(OutputPath("**/s/**/t"),))
    assert len(result.files) == 150
