"""The table of all checks, by name: each a pure function of the facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandboxd.doctor import enforced, measured, needed
from sandboxd.doctor.finding import Finding, Grade, named

if TYPE_CHECKING:
    from sandboxd.doctor.facts import Facts
    from sandboxd.doctor.finding import Checks

CHECKS: Checks = {
    **named(
        needed.kernel,
        needed.user_namespaces,
        needed.unprivileged_userns,
        needed.apparmor,
        needed.mapped_user,
        needed.chroot,
        needed.own_seccomp,
        needed.namespaces,
        needed.clone3,
        needed.map_programs,
        needed.no_new_privs,
    ),
    "tmpfs": needed.tmpfs,
    "bind_mounts": needed.bind_mounts,
    "proc_mounted": needed.proc_mounted,
    "proc": needed.proc,
    "devpts": needed.devpts,
    "keyring": needed.keyring,
    **named(needed.seccomp, needed.libseccomp),
    **enforced.CHECKS,
    **named(
        measured.open_files,
        measured.processes,
        measured.pid_max,
        measured.threads_max,
        measured.sandboxes,
        measured.swap,
        measured.smt,
        measured.governor,
        measured.huge_pages,
        measured.compiled,
        measured.core_pattern,
    ),
}
"""Every check, in the order in which `doctor` prints them."""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Ask every check. What would keep jobs from running is only WEAK where a job ran."""
    found = (Finding(name, *check(facts)) for name, check in CHECKS.items())
    return tuple(
        finding._replace(grade=Grade.WEAK) if facts.ran and finding.grade is Grade.FAIL else finding
        for finding in found
    )
