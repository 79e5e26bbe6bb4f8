"""Any policy that can be written means the same to the compiler as to the oracle."""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracle import Call, Oracle, filters_of, number_of, rules_of, strictest

from sandboxd.model.policy import ARCHITECTURES, PolicyError, parse_policy

CALLS = ("read", "ioctl", "socket", "getpid", "mseal", "clone3", "open", "uretprobe", "reboot")
ERRNOS = sorted(errno.errorcode.values())
WORDS = st.sampled_from([0, 1, 2, 0x28, 0x5412, 1 << 31, 0xFFFFFFFF, 0xFFFF0000])
WIDE = WORDS | WORDS.map(lambda word: word << 32) | WORDS.map(lambda word: word << 32 | word)
NAMED = st.sampled_from(["AF_UNIX", "AF_INET | AF_INET6", "CLONE_NEWUSER|CLONE_NEWNET", "TIOCSTI"])


@st.composite
def conditions(draw: st.DrawFn) -> str:
    index, width = draw(st.integers(0, 5)), draw(st.sampled_from([32, 64]))
    numbers = WORDS if width == 32 else WIDE | st.integers(0, 2**64 - 1)
    fields = {"index": str(index), "width": str(width), "op": '"eq"'}
    if draw(st.booleans()):
        mask = draw(numbers.filter(bool))
        fields |= {"op": '"masked_eq"', "mask": str(mask)}
        values = draw(st.lists(numbers.map(lambda n: str(n & mask)), min_size=1, max_size=4))
    else:
        values = draw(st.lists(numbers.map(str) | NAMED.map(json.dumps), min_size=1, max_size=4))
    fields["value"] = values[0] if len(values) == 1 else f"[{', '.join(values)}]"
    if width == 32 and draw(st.booleans()):
        del fields["width"]
    return "{ " + ", ".join(f"{key} = {value}" for key, value in fields.items()) + " }"


@st.composite
def rules(draw: st.DrawFn) -> str:
    calls = draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True))
    action = draw(st.sampled_from(["allow", "kill", "errno", "notify"]))
    lines = [f"syscalls = {json.dumps(calls)}", f'action = "{action}"']
    if action == "errno":
        lines.append(f'errno = "{draw(st.sampled_from(ERRNOS))}"')
    tests = draw(st.lists(conditions(), max_size=3))
    if tests:
        lines.append(f"arguments = [{', '.join(tests)}]")
    if draw(st.integers(0, 3)) == 0:
        lines.append(f'architectures = ["{draw(st.sampled_from(ARCHITECTURES))}"]')
    return "\n".join(["[[rule]]", *lines, 'because = "only a trial"', ""])


def without_dead_rules(texts: list[str]) -> str:
    """Leave out each rule because of which the whole would be refused."""
    whole = 'description = "A trial."\n'
    for text in texts:
        with suppress(PolicyError):
            parse_policy(whole + text, "trial")
            whole += text
    return whole


def probes(tables: list[dict[str, Any]]) -> st.SearchStrategy[tuple[int, ...]]:
    """Give arguments near those that the rules speak of."""
    spoken = [0]
    for test in (test for rule in tables for test in rule.get("arguments", ())):
        value = test["value"]
        spoken += [v for v in (value if isinstance(value, list) else [value]) if type(v) is int]
    near = st.builds(
        lambda value, bit: value ^ bit,
        st.sampled_from(spoken) | WIDE,
        st.sampled_from([0, 0, 1, 1 << 31, 1 << 32, 1 << 63, 0xFFFFFFFF << 32]),
    )
    return st.tuples(*[near] * 6)


@given(st.lists(rules(), min_size=1, max_size=6), st.sampled_from(ARCHITECTURES), st.data())
def test_a_policy_at_random_means_the_same_when_compiled(
    texts: list[str], architecture: str, data: st.DataObject
) -> None:
    text = without_dead_rules(texts)
    tables = rules_of(text)
    judge = Oracle(tables, architecture)
    programs = filters_of(parse_policy(text, "trial"), architecture)
    numbers = {number_of(name, judge.machine) & 2**32 - 1 for name in CALLS}
    for arguments in data.draw(st.lists(probes(tables), min_size=1, max_size=10)):
        for number in numbers:
            call = Call(judge.machine, number, arguments)
            assert strictest(programs, call) == judge.says(call), call
