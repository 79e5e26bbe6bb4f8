"""A draft is a part of the policy that was learned within: never more, and all that was used."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.kernel import seccomp
from sandboxd.kernel.seccomp import Notice
from sandboxd.model.policy import Action, Policy, parse_policy
from sandboxd.runtime.learning import UNSEEN, Learner, draft

POLICIES = seccomp.load_policies([seccomp.policies_directory()])
CALLS = seccomp.Calls()
MACHINE = os.uname().machine
every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
ARGUMENTS = st.tuples(*[st.sampled_from([0, 1, 2, 16, 0x5412, 1 << 28, 1 << 32, 2**64 - 1])] * 6)


def started(name: str) -> Learner:
    learner = Learner(POLICIES[name])
    assert learner.judge(Notice(1, number_of("brk"), (0,) * 6)) == 0, "before the start all is ours"
    assert learner.judge(Notice(2, number_of("execve"), (0,) * 6)) == 0
    return learner


def meaning(policy: Policy, call: str, arguments: tuple[int, ...]) -> tuple[object, ...] | None:
    rule = policy.rule_for(call, arguments, MACHINE)
    return None if rule is None else (rule.action, rule.errno, rule.because)


def number_of(call: str) -> int:
    number = CALLS.number(call)
    assert number is not None
    return number


@every_policy
def test_a_draft_of_a_program_that_used_everything_is_the_whole_policy(name: str) -> None:
    learner = started(name)
    for rule in learner.policy.rules:
        for call in rule.syscalls:
            learner.used[call, rule] += 1
    drafted = parse_policy(draft(learner, "all"), "drafted")
    for call in CALLS.known().values():
        for value in (0, 1, 2, 10, 16, 1 << 28, 0x5412, 2**64 - 1):
            arguments = (value,) * 6
            assert meaning(drafted, call, arguments) == meaning(learner.policy, call, arguments)


@every_policy
@given(calls=st.lists(st.tuples(st.sampled_from(sorted(CALLS.known())), ARGUMENTS), max_size=30))
def test_a_draft_allows_what_was_used_and_nothing_that_the_policy_refuses(
    name: str, calls: list[tuple[int, tuple[int, ...]]]
) -> None:
    learner = started(name)
    answers = [learner.judge(Notice(3, number, arguments)) for number, arguments in calls]
    drafted = parse_policy(draft(learner, "a program"), "drafted")
    used = {CALLS.known()[number] for (number, _), no in zip(calls, answers, strict=True) if not no}
    for number, arguments in calls:
        call = CALLS.known()[number]
        before = meaning(learner.policy, call, arguments)
        assert meaning(drafted, call, arguments) == (before if call in used | UNSEEN else None)


@every_policy
def test_learning_answers_as_the_policy_does_and_asks_at_every_call_but_one(name: str) -> None:
    learner = started(name)
    for number, call in CALLS.known().items():
        rule = learner.policy.rule_for(call, (0,) * 6, MACHINE)
        allowed = rule is not None and rule.action is Action.ALLOW
        assert (learner.judge(Notice(4, number, (0,) * 6)) == 0) == allowed
    asked = {call for rule in learner.asking.rules[:1] for call in rule.syscalls}
    assert set(CALLS.known().values()) - asked == {seccomp.HANDING_OVER}


def test_a_refused_call_stands_in_the_comments_with_its_reason() -> None:
    learner = started("default")
    learner.judge(Notice(5, number_of("ioctl"), (0, 0x5412, 0, 0, 0, 0)))
    learner.judge(Notice(6, number_of("bpf"), (0,) * 6))
    text = draft(learner, "it")
    assert "#   bpf (1 times), as no rule allows it." in text
    assert "#   ioctl (1 times), as TIOCSTI and TIOCLINUX" in text
