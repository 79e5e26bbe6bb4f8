"""`doctor`'s decisions: what is wrong with a host decides the check, its cause and its remedy."""

from __future__ import annotations

import errno
import json
import string
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cli import sandboxd
from conditions import (
    FATAL,
    MOUNTS,
    NONE,
    PROC,
    REFUSED,
    ROOT,
    SINGLE,
    STOCK,
    V2,
    WEAK,
    host,
    identity,
    mount,
)
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.doctor import facts as reading
from sandboxd.doctor.checks import CHECKS, findings
from sandboxd.doctor.enforced import weaknesses
from sandboxd.doctor.facts import Facts, Failure, Mount
from sandboxd.doctor.failures import STEP_OF_STAGE, SUSPECTS, explain, failure_of, step_of
from sandboxd.doctor.finding import Finding, Grade
from sandboxd.doctor.steps import STEPS
from sandboxd.host import Settings, probe_host, weaknesses_for
from sandboxd.identity import IdMode, free_range
from sandboxd.kernel.cgroups import Rung
from sandboxd.kernel.idmap import Range

if TYPE_CHECKING:
    from pathlib import Path


def grade(facts: Facts, name: str) -> Grade:
    return CHECKS[name](facts).grade


def test_a_stock_host_passes_every_check() -> None:
    assert [finding for finding in findings(STOCK) if finding.grade is not Grade.PASS] == []


def test_every_check_has_evidence_and_every_fault_a_cause_and_a_remedy() -> None:
    for facts in (Facts(), STOCK, *(case.values[0] for case in (*FATAL, *WEAK))):
        for finding in findings(facts):
            assert finding.evidence, finding
            is_fault = finding.grade is not Grade.PASS
            assert (bool(finding.cause), bool(finding.remedy)) == (is_fault, is_fault), finding


@pytest.mark.parametrize(("facts", "name", "failure", "cause", "remedy"), FATAL)
def test_a_fatal_condition_fails_its_check_and_explains_the_failed_step(
    facts: Facts, name: str, failure: Failure, cause: str, remedy: str
) -> None:
    graded = CHECKS[name](facts)
    assert graded.grade is Grade.FAIL
    assert cause in graded.cause
    assert remedy in graded.remedy
    assert explain(failure, facts) == (graded.cause, graded.remedy)


@pytest.mark.parametrize(("facts", "name", "failure", "cause", "remedy"), FATAL)
def test_a_check_is_no_failure_where_a_job_ran(
    facts: Facts, name: str, failure: Failure, cause: str, remedy: str
) -> None:
    del failure, cause, remedy
    ran = {finding.name: finding.grade for finding in findings(replace(facts, ran=True))}
    assert ran[name] is Grade.WEAK
    assert Grade.FAIL not in ran.values()


def test_what_was_tried_and_works_is_stronger_than_what_was_read() -> None:
    tried = dict.fromkeys(STEPS, 0)
    for name, suspicious in {
        "user_namespaces": host(sysctl={"user__max_user_namespaces": "0"}),
        "unprivileged_userns": host(sysctl={"kernel__unprivileged_userns_clone": "0"}),
        "apparmor": host(sysctl={"kernel__apparmor_restrict_unprivileged_userns": "1"}),
        "chroot": host(mounts=(PROC,)),
        "proc": host(mounts=(ROOT, mount("/proc", "proc", "ro"))),
    }.items():
        assert grade(suspicious, name) is Grade.FAIL
        assert grade(replace(suspicious, tried=tried), name) is Grade.PASS


@pytest.mark.parametrize(("facts", "name", "failure", "cause", "remedy"), WEAK)
def test_a_weakness_is_named_with_its_cause_and_remedy(
    facts: Facts, name: str, failure: None, cause: str, remedy: str
) -> None:
    del failure
    graded = CHECKS[name](facts)
    assert graded.grade is Grade.WEAK
    assert cause in graded.cause
    assert remedy in graded.remedy


def test_a_host_without_room_for_one_sandbox_fails() -> None:
    assert grade(host(open_files=79), "open_files") is Grade.FAIL
    assert grade(host(open_files=80, slot_count=1), "open_files") is Grade.PASS


def test_what_was_not_reached_does_not_pass() -> None:
    stopped = host(tried={"user_namespace": errno.EPERM})
    for name in ("clone3", "tmpfs", "bind_mounts", "proc", "devpts", "keyring", "seccomp"):
        assert grade(stopped, name) is Grade.FAIL
        assert "step user_namespace failed before" in CHECKS[name](stopped).cause
    for name in ("ids", "cgroup_rung", "memory_bytes", "process_count", "cpu_count", "cpu_time"):
        assert grade(host(identity=None, tree=None), name) is Grade.FAIL


def test_swap_is_no_matter_where_jobs_are_kept_out_of_it() -> None:
    assert grade(host(swaps=("/dev/vdb",)), "swap") is Grade.PASS


def test_root_and_single_ids_need_no_newuidmap() -> None:
    for who in (SINGLE, identity(as_root=True)):
        bare = host(identity=who, map_programs={}, status={"NoNewPrivs": "1"})
        assert grade(bare, "map_programs") is Grade.PASS
        assert grade(bare, "no_new_privs") is Grade.PASS


def test_mounts_on_what_proc_keeps_empty_cover_nothing() -> None:
    automount = mount("/proc/sys/fs/binfmt_misc", "autofs")
    assert grade(host(mounts=(*MOUNTS, automount)), "proc") is Grade.PASS


def test_a_second_whole_proc_makes_up_for_a_masked_one() -> None:
    masked = (*MOUNTS, mount("/proc/kcore", "tmpfs"))
    assert grade(host(mounts=masked), "proc") is Grade.FAIL
    assert grade(host(mounts=(*masked, mount("/run/proc", "proc"))), "proc") is Grade.PASS


def test_a_harmless_filter_is_not_blamed() -> None:
    filtered = host(status={"Seccomp": "2", "NoNewPrivs": "0"})
    assert grade(filtered, "own_seccomp") is Grade.PASS
    found = explain(REFUSED, filtered)
    assert found is not None
    assert "no sysctl and no seccomp filter" in found.cause
    assert "chroot" in found.remedy


def test_nothing_is_said_where_the_host_is_not_to_blame() -> None:
    assert explain(Failure("pivot", errno.EINVAL), STOCK) is None


@pytest.mark.parametrize(
    ("stage", "detail", "step"),
    [
        ("outer_namespace", "unshare", "user_namespace"),
        ("outer_namespace", "/proc/17/uid_map", "id_maps"),
        ("outer_namespace", "/proc/17/setgroups", "id_maps"),
        ("outer_namespace", "newuidmap, newgidmap", "newuidmap"),
        ("outer_namespace", "mount  on /", "mount_namespace"),
        ("outer_namespace", "keyctl join_session", "keyring"),
        ("outer_namespace", "enter", "service_user"),
        ("root_proc", "mount proc on /proc/proc", "proc"),
        ("clone", "clone3", "clone3"),
        ("seccomp", "seccomp set_mode_filter", "seccomp"),
    ],
)
def test_a_stage_of_ours_is_known_by_the_step_behind_it(stage: str, detail: str, step: str) -> None:
    assert step_of(stage, detail) == step
    assert failure_of(stage, 1, detail) == Failure(step, 1, detail)


def test_every_step_has_suspects_and_every_suspect_is_a_check() -> None:
    assert set(STEPS) <= set(SUSPECTS)
    assert set(STEP_OF_STAGE.values()) <= set(SUSPECTS)
    assert {name for names in SUSPECTS.values() for name in names} <= set(CHECKS)


# --- one source for GetHost and doctor ------------------------------------------------------------


def test_gethost_and_doctor_name_the_same_weaknesses() -> None:
    here = probe_host(Settings(cgroup=Rung.NONE, id_mode=IdMode.SINGLE))
    told = {(w.subject, w.cause, w.remedy) for w in here.weaknesses}
    checked = {
        (finding.name, finding.cause, finding.remedy)
        for finding in findings(reading.gather(here.facts))
        if finding in weaknesses(here.facts)
    }
    assert told == checked
    subjects = {weakness.subject for weakness in here.weaknesses}
    assert subjects >= {"ids", "memory_bytes", "process_count", "cpu_time", "cgroup_rung"}


def test_a_host_that_nobody_looked_at_has_the_general_weaknesses() -> None:
    subjects = [weakness.subject for weakness in weaknesses_for(SINGLE, NONE, 0)]
    assert subjects == [
        "ids",
        "cgroup_rung",
        "memory_bytes",
        "process_count",
        "cpu_count",
        "cpu_time",
        "landlock",
    ]
    assert weaknesses_for(identity(), V2, 7) == ()


# --- reading --------------------------------------------------------------------------------------


@given(st.text(alphabet=string.printable))
def test_no_text_of_the_kernels_can_break_the_reading(text: str) -> None:
    reading.parse_mounts(text)
    reading.parse_status(text)
    reading.parse_subordinate("subuid", text)


def test_subordinate_lines_are_read_and_broken_ones_passed_over() -> None:
    text = "ann:100000:65536\n\nbroken\nbob:x:1\ncarl:5:0\n1001:300000:10\n"
    lines = reading.parse_subordinate("subuid", text)
    assert [(line.owner, line.range) for line in lines] == [
        ("ann", Range(100000, 65536)),
        ("1001", Range(300000, 10)),
    ]
    assert free_range(line.range for line in lines) == Range(165536, 65536)


def test_a_mountinfo_line_is_read() -> None:
    line = "41 31 0:38 /a /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 none rw,nsdelegate"
    assert reading.parse_mounts(line) == (
        Mount("/sys/fs/cgroup", "/a", "cgroup2", frozenset({"rw", "nosuid"})),
    )


# --- the command ----------------------------------------------------------------------------------


def test_doctor_prints_every_check_as_json_and_exits_as_the_trial_went() -> None:
    done = sandboxd("doctor", "--json")
    answer = json.loads(done.stdout)
    assert [check["name"] for check in answer["checks"]] == [*CHECKS, "trial"]
    assert set(answer["checks"][0]) == set(Finding._fields)
    assert answer["trial"].keys() == {"ok", "step", "errno", "detail", "cause", "remedy"}
    assert answer["ok"] == answer["trial"]["ok"]
    assert done.returncode == (0 if answer["ok"] else 1), done.stderr
    assert answer["ok"] == ("FAIL" not in {check["grade"] for check in answer["checks"]})


def test_doctor_shows_people_every_check() -> None:
    shown = sandboxd("doctor", "--cgroup", "none").stdout.decode()
    for name in (*CHECKS, "trial"):
        assert name in shown
    assert "start without --cgroup none" in " ".join(shown.replace("│", " ").split())


def test_doctor_refuses_a_mode_that_is_not_to_be_had(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text('service_user = "root"\nid_mode = "sideways"\n')
    done = sandboxd("doctor", "--config", config)
    assert done.returncode == 125
    assert b"sideways" in done.stderr
