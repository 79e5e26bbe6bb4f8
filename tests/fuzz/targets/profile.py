"""An OCI profile is refused with a ProfileError, or becomes a policy that parses and compiles."""

from __future__ import annotations

import json
from functools import cache

from oracle import filters_of

from sandboxd.kernel.seccomp import Calls
from sandboxd.model.oci_profile import ProfileError, policy_from_profile
from sandboxd.model.policy import PolicyError, parse_policy

_RULES = [
    {"names": ["read", "openat"], "action": "SCMP_ACT_ALLOW", "comment": "a comment"},
    {
        "names": ["socket"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
        "excludes": {"caps": ["CAP_NET_ADMIN"], "arches": ["s390x"]},
    },
    {
        "names": ["clone"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 38,
        "args": [{"index": 1, "value": 255, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
        "includes": {"arches": ["amd64"], "minKernel": "4.8"},
    },
]
SEEDS = (
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": _RULES}).encode(),
    json.dumps(
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": _RULES[::-1]}
    ).encode(),
)


@cache
def _calls() -> Calls:
    return Calls("x86_64")


def is_call(name: str) -> bool:
    """Tell whether some architecture has this call."""
    try:
        _calls().number(name)
    except KeyError:
        return False
    return True


def check(data: bytes) -> None:
    """Read the bytes as JSON."""
    try:
        text = policy_from_profile(data.decode("utf-8", "replace"), is_call)
    except ProfileError as error:
        if not str(error).startswith("cannot "):
            raise
        return
    policy = parse_policy(text, "imported")
    try:
        filters_of(policy, "x86_64")
    except PolicyError as error:
        if "instructions" not in error.problem:
            raise
