"""A policy's text is refused with a PolicyError, or compiles to what the oracle reads in it."""

from __future__ import annotations

from oracle import ALL, ONES, ZEROS, Call, Oracle, filters_of, rules_of, shipped_text, strictest

from sandboxd.kernel.seccomp import policies_directory
from sandboxd.model.policy import ARCHITECTURES, PolicyError, parse_policy

SHIPPED = {path.stem for path in policies_directory().glob("*.toml")}
_SHORT = """description = "Short."
[[rule]]
syscalls = ["socket"]
action = "errno"
errno = "EACCES"
arguments = [{ index = 0, op = "masked_eq", value = [1, 2], mask = "SOCK_TYPE_MASK", width = 64 }]
architectures = ["x86_64"]
because = "a short one"
[[rule]]
syscalls = ["read", "socket", "ptrace"]
action = "notify"
because = "with another rule"
"""
SEEDS = (
    _SHORT.encode(),
    b'description = "Mine."\nextends = "default"\nproc = "compat"\n',
    *(shipped_text(name).encode() for name in sorted(SHIPPED)),
)


def load(name: str) -> str:
    """Give a shipped policy's text; any other is not there."""
    if name not in SHIPPED:
        raise KeyError(name)
    return shipped_text(name)


def check(data: bytes) -> None:
    """Read the bytes as a file that may extend what is shipped."""
    text = data.decode("utf-8", "replace")
    try:
        policy = parse_policy(text, "trial", load)
        filters = {name: filters_of(policy, name) for name in ARCHITECTURES}
    except PolicyError as error:
        if not str(error).startswith("cannot "):
            raise
        return
    assert len(policy.digest) == 64
    for name, programs in filters.items():
        judge = Oracle(rules_of(text, load), name)
        for number in judge.rules:
            for arguments in (ZEROS, ONES, (1,) * 6, (ALL ^ 1,) * 6):
                call = Call(judge.machine, number, arguments)
                assert strictest(programs, call) == judge.says(call), call
