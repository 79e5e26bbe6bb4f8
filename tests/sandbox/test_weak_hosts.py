"""On a weak host jobs run and say what is weaker, or are refused with the true cause.

Every condition is real: `weak.py` makes it in namespaces of its own, or on itself, and then
executes `sandboxd`. In namespaces of the test's own there is one id, so ids are `single` there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from weak import CONDITIONS

from sandboxd.doctor.enforced import CHECKS as ENFORCED

if TYPE_CHECKING:
    from house import House

WEAK = Path(__file__).with_name("weak.py")
CHECKOUT = WEAK.parent.parent.parent
SINGLE = ("--ids", "single")
REFUSAL, PATIENCE = 125, 120


def sandboxd(condition: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `sandboxd` under a condition."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOXD_")}
    return subprocess.run(
        [sys.executable, WEAK, condition, sys.executable, "-m", "sandboxd", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE,
        env={**kept, "XDG_CONFIG_HOME": "/nonexistent", "PYTHONPATH": str(CHECKOUT)},
    )


def doctor(condition: str, *options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Give the exit code, the trial and the checks by name."""
    done = sandboxd(condition, "doctor", "--json", *options)
    answer = json.loads(done.stdout)
    return done.returncode, answer["trial"], {check["name"]: check for check in answer["checks"]}


@pytest.fixture(autouse=True)
def _can_sandbox(house: House) -> None:
    """Without the condition, jobs run here: so what is refused below is refused for its sake."""
    assert house.output("/bin/echo", "ran") == "ran\n"


class Refused(NamedTuple):
    """A condition under which no job runs, and what must be said of it."""

    condition: str
    options: tuple[str, ...]
    check: str
    step: str
    errno: str
    cause: str


USER = "user_namespace"
REFUSED = (
    Refused("no_user_namespaces", SINGLE, "user_namespaces", USER, "ENOSPC", "limited to 0"),
    Refused("root_of_one_id", (), "mapped_user", "service_user", "EPERM", "root here is to become"),
    Refused("no_new_privs", (), "no_new_privs", "newuidmap", "EPERM", "no_new_privs is set"),
    Refused("masked_proc", SINGLE, "proc", "proc", "EPERM", "parts of /proc are masked"),
    Refused("runtime_filter", (), "own_seccomp", USER, "EPERM", "a seccomp filter around"),
    Refused("runtime_filter", SINGLE, "own_seccomp", USER, "EPERM", "a seccomp filter around"),
    Refused("hidden_clone3", SINGLE, "clone3", "clone3", "ENOSYS", "clone3 is hidden"),
    Refused("chroot", SINGLE, "chroot", USER, "EPERM", "in a chroot"),
    Refused("chroot_on_mount", SINGLE, "trial", USER, "EPERM", "what is left is a chroot"),
)


@pytest.fixture(params=REFUSED, ids=lambda case: "-".join((case.condition, *case.options)))
def case(request: pytest.FixtureRequest) -> Refused:
    found: Refused = request.param
    return found


def test_doctor_names_the_failing_check_the_step_and_the_errno(case: Refused) -> None:
    code, trial, checks = doctor(case.condition, *case.options)
    found = (code, trial["ok"], trial["step"], trial["errno"])
    assert found == (1, False, case.step, case.errno), trial
    assert case.cause in trial["cause"]
    check = checks[case.check]
    assert check["grade"] == "FAIL"
    assert (check["cause"], check["remedy"]) == (trial["cause"], trial["remedy"])


@pytest.mark.parametrize("command", ["run", "serve"])
def test_the_start_is_refused_in_doctors_words(case: Refused, command: str) -> None:
    what = ("--listen", "127.0.0.1:0") if command == "serve" else ("--", "/bin/echo", "ran")
    done = sandboxd(case.condition, command, *case.options, *what)
    assert (done.returncode, done.stdout) == (REFUSAL, "")
    assert f"step {case.step} ({case.errno}) failed: " in done.stderr
    assert case.cause in done.stderr
    _, trial, _ = doctor(case.condition, *case.options)
    assert f"{trial['cause']}; {trial['remedy']}" in done.stderr


def test_a_host_without_proc_is_refused_and_told_to_mount_it() -> None:
    remedy = "mount -t proc proc /proc"
    done = sandboxd("no_proc", "run", *SINGLE, "--", "/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (REFUSAL, "")
    assert "cannot read /proc/self/mountinfo" in done.stderr
    assert remedy in done.stderr
    code, trial, checks = doctor("no_proc", *SINGLE)
    assert (code, trial["errno"], trial["remedy"]) == (1, "ENOENT", remedy)
    assert checks["proc_mounted"]["grade"] == "FAIL"


def test_doctor_narrows_a_refused_clone_to_the_kind_of_namespace() -> None:
    code, trial, checks = doctor("no_network_namespaces", *SINGLE)
    assert (code, trial["step"], trial["errno"]) == (1, "network_namespace", "ENOSPC")
    assert trial["remedy"] == "sudo sysctl -w user.max_net_namespaces=65536"
    assert checks["namespaces"]["grade"] == "FAIL"


def test_a_filter_that_hides_clone3_alone_is_told_from_one_that_forbids_namespaces() -> None:
    _, _, checks = doctor("hidden_clone3", *SINGLE)
    assert checks["own_seccomp"]["grade"] == "PASS", "the filter lets namespaces be made"


RUNNING = [
    ("no_subordinate_ids", (), {"ids"}, "range-ids"),
    ("no_cgroups", SINGLE, {"ids", "memory_bytes", "process_count", "cpu_time"}, "cgroups"),
    ("no_new_privs", SINGLE, {"ids"}, "range-ids"),
]


@pytest.mark.parametrize(("condition", "options", "weaker", "required"), RUNNING)
def test_a_weaker_host_runs_jobs_and_says_what_is_weaker(
    condition: str, options: tuple[str, ...], weaker: set[str], required: str
) -> None:
    done = sandboxd(condition, "run", *options, "--", "/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    code, trial, checks = doctor(condition, *options)
    assert (code, trial["ok"]) == (0, True), trial
    found = {name for name in ENFORCED if checks[name]["grade"] == "WEAK"}
    assert weaker <= found
    assert "FAIL" not in {check["grade"] for check in checks.values()}
    refused = sandboxd(condition, "run", *options, "--require", required, "--", "/bin/echo", "ran")
    assert (refused.returncode, refused.stdout) == (REFUSAL, "")
    assert required in refused.stderr


def test_no_command_is_named_for_ids_that_are_not_to_be_had() -> None:
    _, _, checks = doctor("no_subordinate_ids")  # told in a namespace of one id, as in a sandbox
    assert "nesting ends here" in checks["ids"]["cause"]
    assert "usermod" not in checks["ids"]["remedy"]


def test_covered_cgroups_are_told_apart_from_cgroups_that_nobody_delegates() -> None:
    _, _, checks = doctor("no_cgroups", *SINGLE)
    assert "no cgroup file system is in sight" in checks["cgroup_rung"]["cause"]


def test_outcomes_without_cgroups_name_what_enforces_each_limit_instead() -> None:
    done = sandboxd("no_cgroups", "run", "--json", *SINGLE, "--", "/bin/true")
    outcome = json.loads(done.stdout)["outcome"]
    by = {limit["limit"]: limit["mechanism"] for limit in outcome["enforced"]}
    assert "watchdog" in by["memory_bytes"]
    assert "rlimit" in by["process_count"]


@pytest.mark.parametrize("condition", ["no_cgroups", "no_subordinate_ids"])
def test_the_host_description_says_what_doctor_says(condition: str) -> None:
    described = json.loads(sandboxd(condition, "host", "--json").stdout)
    _, _, checks = doctor(condition)
    told = {(w["subject"], w["cause"], w["remedy"]) for w in described["weaknesses"]}
    weak = [checks[name] for name in ENFORCED if checks[name]["grade"] == "WEAK"]
    assert told == {(check["name"], check["cause"], check["remedy"]) for check in weak}


def test_every_condition_is_tested() -> None:
    tested = {row[0] for row in (*REFUSED, *RUNNING)}
    tested |= {"no_proc", "no_network_namespaces"}
    assert tested == set(CONDITIONS)
