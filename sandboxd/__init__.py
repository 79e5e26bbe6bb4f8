r"""A rootless sandbox for running untrusted code: every job in a never-used sandbox.

>>> import sandboxd
>>> result = sandboxd.run(["python3", "-c", "print(6 * 7)"])
>>> result.ending, result.stdout.data
(Exited(exit_code=0), b'42\n')

Names are loaded when first used: the launcher imports this package too, and must stay small.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sandboxd.version import __version__

if TYPE_CHECKING:
    from sandboxd.attached import Attached, Output, SyncAttached
    from sandboxd.client import Client, SyncClient, Tls
    from sandboxd.errors import (
        BlobDamaged,
        Busy,
        CallerError,
        ConflictError,
        ForbiddenError,
        HostError,
        JobError,
        NotFoundError,
        PreconditionError,
        RequestError,
        SandboxdError,
        StageError,
        StreamIdle,
        UnauthenticatedError,
        Violation,
    )
    from sandboxd.local import run
    from sandboxd.model.batch import Case, Rule, Skipped
    from sandboxd.model.blob import Digest
    from sandboxd.model.group import End, EndRule, Group, GroupResult, Member, Pipe
    from sandboxd.model.job import InputFile, Job, Network, OutputPath, Terminal
    from sandboxd.model.limits import Limits
    from sandboxd.model.outcome import (
        Captured,
        Ending,
        EnforcedLimit,
        Exited,
        Fault,
        FileFault,
        LimitExceeded,
        NotStarted,
        Outcome,
        OutputFile,
        RunResult,
        Signaled,
        SyscallDenied,
        Usage,
    )

_HOMES = {
    "sandboxd.attached": ("Attached", "Output", "SyncAttached"),
    "sandboxd.client": ("Client", "SyncClient", "Tls"),
    "sandboxd.errors": (
        *("Busy", "HostError", "JobError", "PreconditionError", "SandboxdError", "StageError"),
        *("BlobDamaged", "CallerError", "ForbiddenError", "RequestError", "UnauthenticatedError"),
        *("ConflictError", "NotFoundError", "StreamIdle", "Violation"),
    ),
    "sandboxd.local": ("run",),
    "sandboxd.model.batch": ("Case", "Rule", "Skipped"),
    "sandboxd.model.blob": ("Digest",),
    "sandboxd.model.group": ("End", "EndRule", "Group", "GroupResult", "Member", "Pipe"),
    "sandboxd.model.job": ("InputFile", "Job", "Network", "OutputPath", "Terminal"),
    "sandboxd.model.limits": ("Limits",),
    "sandboxd.model.outcome": (
        *("Captured", "Ending", "EnforcedLimit", "Exited", "FileFault", "LimitExceeded"),
        *("NotStarted", "Outcome", "OutputFile", "RunResult", "Signaled", "SyscallDenied"),
        *("Fault", "Usage"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attached",
    "BlobDamaged",
    "Busy",
    "CallerError",
    "Captured",
    "Case",
    "Client",
    "ConflictError",
    "Digest",
    "End",
    "EndRule",
    "Ending",
    "EnforcedLimit",
    "Exited",
    "Fault",
    "FileFault",
    "ForbiddenError",
    "Group",
    "GroupResult",
    "HostError",
    "InputFile",
    "Job",
    "JobError",
    "LimitExceeded",
    "Limits",
    "Member",
    "Network",
    "NotFoundError",
    "NotStarted",
    "Outcome",
    "Output",
    "OutputFile",
    "OutputPath",
    "Pipe",
    "PreconditionError",
    "RequestError",
    "Rule",
    "RunResult",
    "SandboxdError",
    "Signaled",
    "Skipped",
    "StageError",
    "StreamIdle",
    "SyncAttached",
    "SyncClient",
    "SyscallDenied",
    "Terminal",
    "Tls",
    "UnauthenticatedError",
    "Usage",
    "Violation",
    "__version__",
    "run",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name means
    if name not in _HOME_OF:
        raise AttributeError(name)
    return getattr(importlib.import_module(_HOME_OF[name]), name)
