"""Learning what a program needs: its filter asks at every system call, and the answers are noted.

Decides each answer by the policy that the job has anyway, so a program that is learned from can do
no more than any other. Notes what it was allowed, and what it was refused.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from typing import TYPE_CHECKING

from sandboxd.kernel import seccomp
from sandboxd.model.policy import ARCHITECTURES, Action, Policy, Rule

if TYPE_CHECKING:
    from sandboxd.kernel.seccomp import Notice
    from sandboxd.model.policy import ArgumentTest


class Learner:
    """Answers for `policy`, and counts what was asked by the rule that decided it."""

    def __init__(self, policy: Policy) -> None:
        """Learn within this policy."""
        self.policy = policy
        self.asking = asking(policy)
        """What the program runs under: all is asked that would not end it."""
        self.used: Counter[tuple[str, Rule]] = Counter()
        self.refused: Counter[tuple[str, Rule | None]] = Counter()
        self._is_executed = False

    def judge(self, notice: Notice) -> int:
        """Answer one call as the policy does, and note it; what comes before the start is ours."""
        name = seccomp.call_name(notice.number)
        if not self._is_executed:
            self._is_executed = name in seccomp.EXECUTION
            return 0
        rule = self.policy.rule_for(name, notice.arguments, os.uname().machine)
        if rule is not None and rule.action is Action.ALLOW:
            self.used[name, rule] += 1
            return 0
        self.refused[name, rule] += 1
        return seccomp.refusal_of(name, rule)


def asking(policy: Policy) -> Policy:
    """Give the policy that asks at every known call, but the one that hands the listener over."""
    names = tuple(sorted(set(seccomp.Calls().known().values()) - {seccomp.HANDING_OVER}))
    ask = Rule(syscalls=names, action=Action.NOTIFY, because="Every call is noted.")
    hand_over = Rule(
        syscalls=(seccomp.HANDING_OVER,), action=Action.ALLOW, because="It carries the listener."
    )
    return Policy(f"{policy.name}, learning", policy.description, (ask, hand_over), policy.proc)


UNSEEN = {"exit", "exit_group", "restart_syscall", "rt_sigreturn", "execve", "sendmsg"}
"""Calls that every program makes without being asked, or that cannot be asked about."""


def draft(learner: Learner, program: str) -> str:
    """Write the policy that allows what was used, in the words of the one that was learned within.

    What that policy refuses is listed as comments: whoever uses the draft decides about it.
    """
    used = {name for name, _ in learner.used} | UNSEEN
    decided: set[tuple[str, tuple[ArgumentTest, ...]]] = set()
    rules = [_kept(rule, used, decided) for rule in learner.policy.rules]
    refused = sorted(
        f"#   {name} ({count} times), as {rule.because if rule else 'no rule allows it.'}"
        for (name, rule), count in learner.refused.items()
    )
    head = [
        f"# Drafted from one run of {program}, within the policy {learner.policy.name}.",
        "# Other inputs may need more: read it, describe it, and run it on all that you have.",
        *(["#", "# Refused, also while learning:", *refused] if refused else []),
        "",
        f'description = "What {program} was seen to need."',
        f'proc = "{learner.policy.proc.value}"',
    ]
    return "\n".join([*head, *(line for rule in rules for line in rule), ""])


def _kept(
    rule: Rule, used: set[str], decided: set[tuple[str, tuple[ArgumentTest, ...]]]
) -> list[str]:
    """Give the part of a rule that decides about calls that were used, if there is any.

    An extended policy's rules may come too late: for what is `decided`, none may be written again.
    """
    here = rule.arguments
    names = [n for n in rule.syscalls if n in used and not decided & {(n, ()), (n, here)}]
    decided.update((name, here) for name in names)
    if not names:
        return []
    lines = ["", "[[rule]]", f"syscalls = {json.dumps(names)}", f'action = "{rule.action.value}"']
    if rule.action is Action.ERRNO:
        lines.append(f'errno = "{errno.errorcode[rule.errno]}"')
    if rule.arguments:
        lines.append(f"arguments = [{', '.join(map(_as_toml, rule.arguments))}]")
    if rule.architectures != ARCHITECTURES:
        lines.append(f"architectures = {json.dumps(list(rule.architectures))}")
    return [*lines, f"because = {json.dumps(rule.because, ensure_ascii=False)}"]


def _as_toml(test: ArgumentTest) -> str:
    width = 32 if test.mask < 1 << 32 else 64
    whole = (1 << width) - 1
    compared = 'op = "eq"' if test.mask == whole else f'op = "masked_eq", mask = {test.mask}'
    values = list(test.values) if len(test.values) > 1 else test.values[0]
    width_text = "" if width == 32 else ", width = 64"
    return f"{{ index = {test.index}, {compared}, value = {values}{width_text} }}"
