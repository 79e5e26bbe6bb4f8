"""System-call policies: what a TOML file may say, and what it means.

For one system call the rules are tried in the order of the file and the first whose arguments all
hold decides; if none does, or no rule names the call, it is refused with EPERM. Reads text and
gives values: finding files is `kernel.seccomp`'s, as is knowing which system calls exist.
"""

from __future__ import annotations

import errno as errno_names
import hashlib
import json
import tomllib
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ARCHITECTURES = ("x86_64", "aarch64")
"""What `uname -m` says where policies can be compiled."""

CONSTANTS: Mapping[str, int] = {
    # Of socket: families, types, protocols.
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "SOCK_STREAM": 1,
    "SOCK_DGRAM": 2,
    "SOCK_TYPE_MASK": 0xF,
    "IPPROTO_IP": 0,
    "IPPROTO_ICMP": 1,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17,
    "IPPROTO_ICMPV6": 58,
    # Of clone: the flags that make namespaces.
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
    "CLONE_THREAD": 0x00010000,
    # Of ioctl, the same on x86-64 and aarch64.
    "TIOCSTI": 0x5412,
    "TIOCLINUX": 0x541C,
    "TIOCSETD": 0x5423,
    # Of mknod: the kinds of files.
    "S_IFMT": 0o170000,
    "S_IFIFO": 0o010000,
    "S_IFREG": 0o100000,
    "S_IFSOCK": 0o140000,
    # Of personality, where the last one only asks.
    "PER_LINUX": 0,
    "PER_LINUX32": 0x8,
    "UNAME26": 0x20000,
    "ADDR_NO_RANDOMIZE": 0x40000,
    "PER_QUERY": 0xFFFFFFFF,
    # Of prctl.
    "PR_SET_MM": 35,
    "PR_SCHED_CORE": 62,
    # Of fcntl: locks, leases and watches.
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38,
    "F_SETLEASE": 1024,
    "F_NOTIFY": 1026,
    # Of seccomp.
    "SECCOMP_FILTER_FLAG_NEW_LISTENER": 1 << 3,
    # Of keyctl.
    "KEYCTL_JOIN_SESSION_KEYRING": 1,
    "KEYCTL_SETPERM": 5,
    "KEY_SPEC_SESSION_KEYRING": 0xFFFFFFFD,
}
"""Names that a rule may use for an argument's value or mask, joined by "|"."""

MIN_BECAUSE_WORDS = 3
"""A reason of one or two words only repeats the rule."""


class PolicyError(HostError):
    """A policy file is wrong; nothing of it is used."""

    def __init__(
        self, policy: str, problem: str, remedy: str = "", *, line: int = 0, path: str = ""
    ) -> None:
        """Carry the policy's name, what is wrong, how to mend it, and where (line 0: unknown)."""
        place = path or f"{policy}.toml"
        at = f", line {line}" if line else ""
        message = f"cannot use policy {policy} ({place}{at}): {problem}"
        super().__init__("POLICY_INVALID", message, remedy)
        self.policy = policy
        self.problem = problem
        self.line = line

    def lying_at(self, path: str) -> PolicyError:
        """Give the same error with the path of the file in which it is."""
        return PolicyError(self.policy, self.problem, self.remedy, line=self.line, path=path)


class Action(Enum):
    """What happens to a system call."""

    ALLOW = "allow"
    ERRNO = "errno"
    KILL = "kill"
    NOTIFY = "notify"
    """The job ends, and its ending names the call; a program's own start passes."""


class ProcMode(Enum):
    """How much of /proc the policy's sandboxes see, and whether they may make others inside."""

    SUBSET = "subset"
    """Processes only, no others' among them."""
    COMPAT = "compat"
    """All of it, with what is sensitive covered."""
    NESTED = "nested"
    """All of it, with user namespaces: what a sandbox within the sandbox needs."""


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """Holds if argument `index`, under `mask`, is one of `values`."""

    index: int
    mask: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to some system calls, if all arguments hold."""

    syscalls: tuple[str, ...]
    action: Action
    because: str
    errno: int = 0
    arguments: tuple[ArgumentTest, ...] = ()
    architectures: tuple[str, ...] = ARCHITECTURES


@dataclass(frozen=True)  # without slots, for the digest to be kept
class Policy:
    """A whole policy; an extended one's rules stand behind the own ones, which thus come first."""

    name: str
    description: str
    rules: tuple[Rule, ...]
    proc: ProcMode = ProcMode.SUBSET

    @property
    def is_nested(self) -> bool:
        """Tell whether its jobs may make sandboxes of their own."""
        return self.proc is ProcMode.NESTED

    @property
    def notifies(self) -> bool:
        """Tell whether some call ends the job and is named."""
        return any(rule.action is Action.NOTIFY for rule in self.rules)

    def rule_for(self, syscall: str, arguments: tuple[int, ...], architecture: str) -> Rule | None:
        """Give the rule that decides a call; None where none does, which refuses it."""
        deciding = (
            rule
            for rule in self.rules
            if syscall in rule.syscalls
            and architecture in rule.architectures
            and all(arguments[test.index] & test.mask in test.values for test in rule.arguments)
        )
        return next(deciding, None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of all that is enforced: no name, no reason, no description."""
        rules = [
            [
                sorted(rule.syscalls),
                rule.action.value,
                rule.errno,
                [[test.index, test.mask, test.values] for test in rule.arguments],
                sorted(rule.architectures),
            ]
            for rule in self.rules
        ]
        canonical = json.dumps([self.proc.value, rules], separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def parse_policy(text: str, name: str, load: Callable[[str], str] | None = None) -> Policy:
    """Read the policy `name`; `load` gives the text of one that it `extends`.

    Raises:
        PolicyError: naming the policy, the line as far as it can be had, and the mistake. What
            only the kernel's side knows, such as a misspelt system call, is found by compiling.

    """
    return _parse(text, name, load, ())


def _parse(
    text: str, name: str, load: Callable[[str], str] | None, extending: tuple[str, ...]
) -> Policy:
    file = _File(name, text)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, a number too long, tables too deep
        raise PolicyError(name, f"it is not TOML: {error}") from None
    file.refuse_unknown(table, {"description", "extends", "proc", "rule"}, file.line_of_key)
    description = table.get("description")
    if not isinstance(description, str) or not description.strip():
        raise file.error("`description` is missing", "say in a sentence what the policy is for")
    rules = table.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise file.error("`rule` is not an array of tables", "write [[rule]]", "rule")
    own = tuple(_RuleText(file, index, rule).parse() for index, rule in enumerate(rules))
    _refuse_dead_rules(file, own)
    base = _base(file, table, load, (*extending, name))
    if not own and base is None:
        raise file.error("no [[rule]]", "allow something: no program could even start")
    proc = base.proc if base else ProcMode.SUBSET
    if "proc" in table:
        proc = _choice(ProcMode, table["proc"], file, "proc")
    return Policy(name, description.strip(), own + (base.rules if base else ()), proc)


def _base(
    file: _File,
    table: Mapping[str, Any],
    load: Callable[[str], str] | None,
    extending: tuple[str, ...],
) -> Policy | None:
    if "extends" not in table:
        return None
    base = table["extends"]
    if not isinstance(base, str) or not base:
        raise file.error("`extends` is not the name of a policy", "", "extends")
    if base in extending:
        chain = " -> ".join((*extending, base))
        raise file.error(f"`extends` goes round in a circle: {chain}", "", "extends")
    try:
        text = load(base) if load else None
    except KeyError:
        text = None
    if text is None:
        raise file.error(f"`extends` names {base!r}, which is not there", "", "extends")
    return _parse(text, base, load, extending)


def _refuse_dead_rules(file: _File, rules: tuple[Rule, ...]) -> None:
    """Refuse a rule that an earlier one always forestalls: it says what is not enforced."""
    seen: dict[tuple[str, str], list[tuple[int, tuple[ArgumentTest, ...]]]] = {}
    for index, rule in enumerate(rules):
        for syscall in rule.syscalls:
            for architecture in rule.architectures:
                earlier = seen.setdefault((syscall, architecture), [])
                for other, arguments in earlier:
                    if not arguments or arguments == rule.arguments:
                        raise file.error(
                            f"{syscall} is decided already by the rule in line "
                            f"{file.line_of_rule(other)}",
                            "name it once, or put the rule with arguments first",
                            rule=index,
                        )
                earlier.append((index, rule.arguments))


class _File:
    """A policy's text, to find the lines that errors speak of: tomllib gives none."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.splitlines()

    def line_of_key(self, key: str) -> int:
        starts = (f"{key}=", f"[{key}", f"[[{key}", f'"{key}"')
        lines = (line.replace(" ", "").startswith(starts) for line in self.lines)
        return next((number for number, found in enumerate(lines, 1) if found), 0)

    def line_of_rule(self, index: int) -> int:
        heads = (n for n, line in enumerate(self.lines, 1) if line.startswith("[[rule]]"))
        return next((n for position, n in enumerate(heads) if position == index), 0)

    def error(
        self, problem: str, remedy: str = "", key: str = "", rule: int | None = None
    ) -> PolicyError:
        line = self.line_of_key(key) if rule is None else self.line_of_rule(rule)
        return PolicyError(self.name, problem, remedy, line=line)

    def refuse_unknown(
        self, table: Mapping[str, Any], known: set[str], line_of: Callable[[str], int]
    ) -> None:
        for key in table:
            if key not in known:
                remedy = f"known are {', '.join(sorted(known))}"
                raise PolicyError(self.name, f"unknown key {key!r}", remedy, line=line_of(key))


class _RuleText:
    """One [[rule]] as tomllib gave it, with enough about its place to complain well."""

    def __init__(self, file: _File, index: int, table: dict[str, Any]) -> None:
        self.file = file
        self.index = index
        self.table = table

    def error(self, problem: str, remedy: str = "") -> PolicyError:
        return self.file.error(problem, remedy, rule=self.index)

    def refuse_unknown(self, table: Mapping[str, Any], known: set[str]) -> None:
        self.file.refuse_unknown(table, known, lambda _: self.file.line_of_rule(self.index))

    def parse(self) -> Rule:
        known = {"syscalls", "action", "errno", "arguments", "architectures", "because"}
        self.refuse_unknown(self.table, known)
        because = self.table.get("because", "")
        if not isinstance(because, str) or len(because.split()) < MIN_BECAUSE_WORDS:
            raise self.error("no real `because`", "say in some words why the rule is there")
        action = self.action()
        return Rule(
            syscalls=self.names("syscalls"),
            action=action,
            because=" ".join(because.split()),
            errno=self.errno(action),
            arguments=tuple(self.arguments()),
            architectures=self.architectures(),
        )

    def action(self) -> Action:
        text = self.table.get("action")
        try:
            return Action(text)
        except ValueError:
            known = ", ".join(action.value for action in Action)
            raise self.error(f"unknown action {text!r}", f"known are {known}") from None

    def errno(self, action: Action) -> int:
        text = self.table.get("errno")
        if action is not Action.ERRNO:
            if text is not None:
                raise self.error(f"`errno` with action {action.value!r}", "remove one of them")
            return 0
        number = getattr(errno_names, text, None) if isinstance(text, str) else None
        if not isinstance(number, int):
            raise self.error(f"unknown errno {text!r}", 'write its name, such as "EPERM"')
        return number

    def names(self, key: str) -> tuple[str, ...]:
        names = self.table.get(key)
        if not isinstance(names, list) or not names or not all(map(_is_name, names)):
            raise self.error(f"`{key}` is not a list of names")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise self.error(f"`{key}` names {twice} twice")
        return tuple(names)

    def architectures(self) -> tuple[str, ...]:
        if "architectures" not in self.table:
            return ARCHITECTURES
        names = self.names("architectures")
        unknown = next((name for name in names if name not in ARCHITECTURES), None)
        if unknown:
            raise self.error(f"unknown architecture {unknown!r}", f"known are {ARCHITECTURES}")
        return names

    def arguments(self) -> Iterator[ArgumentTest]:
        tests = self.table.get("arguments", [])
        if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
            raise self.error("`arguments` is not a list of tables")
        for test in tests:
            self.refuse_unknown(test, {"index", "op", "value", "mask", "width"})
            yield self.argument(test)

    def argument(self, test: dict[str, Any]) -> ArgumentTest:
        index, op, width = test.get("index"), test.get("op"), test.get("width", 32)
        if type(index) is not int or not 0 <= index <= 5:
            raise self.error(f"argument `index` is {index!r}", "count from 0 to 5")
        if op not in ("eq", "masked_eq"):  # a set would choke on what is no text at all
            raise self.error(
                f"unknown comparison {op!r}",
                "known are eq and masked_eq: libseccomp gets others wrong",
            )
        if type(width) is not int or width not in {32, 64}:
            raise self.error(f"argument `width` is {width!r}", "an argument has 32 or 64 bits")
        if ("mask" in test) != (op == "masked_eq"):
            raise self.error("`mask` belongs to masked_eq, and masked_eq needs one")
        whole = (1 << width) - 1
        mask = self.number(test["mask"], whole) if "mask" in test else whole
        given = test.get("value")
        values = tuple(
            self.number(value, whole) for value in (given if isinstance(given, list) else [given])
        )
        if not mask or not values or any(value & ~mask for value in values):
            raise self.error("an argument could never hold", "keep each value within the mask")
        return ArgumentTest(index, mask, values)

    def number(self, value: object, whole: int) -> int:
        if isinstance(value, str):
            names = [name.strip() for name in value.split("|")]
            unknown = next((name for name in names if name not in CONSTANTS), None)
            if unknown is not None:
                raise self.error(f"unknown constant {unknown!r}", "write the number")
            number = 0
            for name in names:
                number |= CONSTANTS[name]
        elif type(value) is int:
            number = value
        else:
            raise self.error(f"argument value {value!r} is neither number nor constant")
        if not 0 <= number <= whole:
            raise self.error(f"argument value {value!r} does not fit", "see `width`")
        return number


def _choice(kind: type[ProcMode], value: object, file: _File, key: str) -> ProcMode:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise file.error(f"unknown {key} {value!r}", f"known are {known}", key) from None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and value.islower()
