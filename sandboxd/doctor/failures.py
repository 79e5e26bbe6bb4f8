"""Why a step of making a sandbox failed, and what mends it: (step, errno, facts) to plain words.

Decides which check tells the cause. `diagnose` alone looks at the host, for a server that fails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.doctor.checks import CHECKS
from sandboxd.doctor.facts import Failure, enforcement_facts, gather
from sandboxd.doctor.finding import Grade, name_of
from sandboxd.doctor.needed import NAMESPACE_STEPS
from sandboxd.doctor.steps import filter_refusal

if TYPE_CHECKING:
    from sandboxd.doctor.facts import Facts
    from sandboxd.identity import Identity

_USER_NAMESPACE = (
    *("user_namespaces", "unprivileged_userns", "mapped_user", "chroot", "own_seccomp"),
    "apparmor",
)
_NAMESPACE = ("apparmor", "own_seccomp", "namespaces")
SUSPECTS: dict[str, tuple[str, ...]] = {
    "service_user": ("mapped_user",),
    "user_namespace": _USER_NAMESPACE,
    "id_maps": ("proc_mounted", "apparmor"),
    "newuidmap": ("no_new_privs", "map_programs"),
    **dict.fromkeys(NAMESPACE_STEPS, _NAMESPACE),
    "clone3": ("clone3", "own_seccomp", "namespaces"),
    "tmpfs": ("apparmor", "tmpfs"),
    "bind_mounts": ("kernel", "apparmor", "bind_mounts"),
    "proc": ("proc_mounted", "proc"),
    "devpts": ("devpts",),
    "keyring": ("sandboxes", "own_seccomp", "keyring"),
    "landlock": ("own_seccomp",),
    "seccomp": ("seccomp",),
    "import": ("libseccomp",),
}
"""Which checks may tell the cause of a failed step, the surest first."""

STEP_OF_STAGE = {
    "root_tmpfs": "tmpfs",
    "scratch": "tmpfs",
    "root_binds": "bind_mounts",
    "devices": "bind_mounts",
    "root_proc": "proc",
    "terminal": "devpts",
    "session_keyring": "keyring",
    "zygote": "clone3",
    "clone": "clone3",
}
"""The step that a stage of docs/stages.md takes; those of the same name are not listed."""


class Explanation(NamedTuple):
    """Why a step failed, and what mends it."""

    cause: str
    remedy: str


_OTHERWISE = {
    "user_namespace": Explanation(
        "no sysctl and no seccomp filter forbids user namespaces here: what is left is a chroot "
        "whose directory is a mount point, or a rule of a security module (AppArmor, SELinux)",
        "start it outside of the chroot; look for the rule in `dmesg` and the audit log",
    ),
    "id_maps": Explanation(
        "the kernel or a security module refuses to map this user's own id",
        "look for a rule in `dmesg` and the audit log",
    ),
}
"""What to say where no check tells."""


def step_of(stage: str, detail: str) -> str:
    """Name the step behind a stage of ours, as a StageError tells it."""
    if stage != "outer_namespace":
        return STEP_OF_STAGE.get(stage, stage)
    if "newuidmap" in detail or "newgidmap" in detail:
        return "newuidmap"
    if detail.endswith(("uid_map", "gid_map", "setgroups")):
        return "id_maps"
    beginnings = {
        "unshare": "user_namespace",
        "mount": "mount_namespace",
        "keyctl": "keyring",
        "enter": "service_user",  # what has no name of its own there: changes of ids
    }
    return next((step for begin, step in beginnings.items() if detail.startswith(begin)), stage)


def failure_of(stage: str, number: int, detail: str) -> Failure:
    """Make the failure that a StageError tells of."""
    return Failure(step_of(stage, detail), number, detail)


def explain(failure: Failure, facts: Facts) -> Explanation | None:
    """Say why; None where nothing of the host's is to blame, as far as anybody can see."""
    suspected = replace(facts, failure=failure)
    for name in SUSPECTS.get(failure.step, ()):
        graded = CHECKS[name](suspected)
        if graded.grade is Grade.FAIL:
            return Explanation(graded.cause, graded.remedy)
    return _OTHERWISE.get(failure.step)


def diagnose(stage: str, number: int, detail: str, identity: Identity) -> tuple[str, str] | None:
    """Look at this host and say, in a sentence, why a stage failed, and what mends it."""
    failure = failure_of(stage, number, detail)
    facts = gather(enforcement_facts(identity, None, 0))
    found = explain(failure, replace(facts, filter_refusal=filter_refusal()))
    if found is None:
        return None
    step = f"{failure.step} ({name_of(number)})" if number else failure.step
    return f"step {step} failed: {found.cause}", found.remedy
