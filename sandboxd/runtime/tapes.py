"""The interpreter of tapes, shared by zygote, init and program: verbs in, first failure out."""

from __future__ import annotations

from typing import Any

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

VERBS = {
    **cgroups.VERBS,
    **files.VERBS,
    **idmap.VERBS,
    **landlock.VERBS,
    **mounts.VERBS,
    **namespaces.VERBS,
    **network.VERBS,
    **processes.VERBS,
    **seccomp.VERBS,
    **terminals.VERBS,
}
"""The closed set: everything that zygote, init and program ever do to the kernel."""


class StageFailed(Exception):  # noqa: N818 - what init reports; StageError is what the daemon makes of it
    """One operation failed; nothing after it was done."""

    def __init__(self, stage: str, errno: int, detail: str) -> None:
        """Carry what a report says: stage, errno (0 if none) and what was attempted."""
        super().__init__(stage, errno, detail)
        self.report = (stage, errno, detail)


def execute(tape: list[list[Any]], fds: dict[str, int]) -> None:
    """Do every operation of a tape in order; `fds` are the descriptors that it names.

    Raises:
        StageFailed: at the first operation that fails, whatever the reason.

    """
    for stage, verb, *arguments in tape:
        try:
            VERBS[verb].execute(
                *[fds[value["fd"]] if type(value) is dict else value for value in arguments]
            )
        except OSError as error:
            what = error.filename if isinstance(error.filename, str) else verb
            raise StageFailed(stage, error.errno or 0, what) from error
        except Exception as error:
            raise StageFailed(stage, 0, f"{verb}: {type(error).__name__}: {error}") from error
