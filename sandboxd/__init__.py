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
    from sandboxd.client import Client, SyncClient, Tls
    from sandboxd.errors import (
        BlobDamaged,
        Busy,
        CallerError,
        ForbiddenError,
        HostError,
        JobError,
        PreconditionError,
        RequestError,
        SandboxdError,
        StageError,
        UnauthenticatedError,
        Violation,
    )
    from sandboxd.local import run
    from sandboxd.model.blob import Digest
    from sandboxd.model.job import InputFile, Job, Network, OutputPath
    from sandboxd.model.limits import Limits
    from sandboxd.model.outcome import (
        Captured,
        Ending,
        EnforcedLimit,
        Exited,
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
    "sandboxd.client": ("Client", "SyncClient", "Tls"),
    "sandboxd.errors": (
        *("Busy", "HostError", "JobError", "PreconditionError", "SandboxdError", "StageError"),
        *("BlobDamaged", "CallerError", "ForbiddenError", "RequestError", "UnauthenticatedError"),
        "Violation",
    ),
    "sandboxd.local": ("run",),
    "sandboxd.model.blob": ("Digest",),
    "sandboxd.model.job": ("InputFile", "Job", "Network", "OutputPath"),
    "sandboxd.model.limits": ("Limits",),
    "sandboxd.model.outcome": (
        *("Captured", "Ending", "EnforcedLimit", "Exited", "FileFault", "LimitExceeded"),
        *("NotStarted", "Outcome", "OutputFile", "RunResult", "Signaled", "SyscallDenied"),
        "Usage",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BlobDamaged",
    "Busy",
    "CallerError",
    "Captured",
    "Client",
    "Digest",
    "Ending",
    "EnforcedLimit",
    "Exited",
    "FileFault",
    "ForbiddenError",
    "HostError",
    "InputFile",
    "Job",
    "JobError",
    "LimitExceeded",
    "Limits",
    "Network",
    "NotStarted",
    "Outcome",
    "OutputFile",
    "OutputPath",
    "PreconditionError",
    "RequestError",
    "RunResult",
    "SandboxdError",
    "Signaled",
    "StageError",
    "SyncClient",
    "SyscallDenied",
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
