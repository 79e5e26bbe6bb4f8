"""OCI seccomp profiles, as Docker and Podman have them, turned into policies; pure: text to text.

The policy never allows what the profile refuses. What cannot be said by first match, equality and
masks is refused rather than guessed.
"""

from __future__ import annotations

import errno as errno_names
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError
from sandboxd.model.policy import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ACTIONS: Mapping[str, tuple[str, str]] = {
    "SCMP_ACT_ALLOW": ("allow", ""),
    "SCMP_ACT_ERRNO": ("errno", ""),
    "SCMP_ACT_KILL": ("kill", "ends the whole process, not one thread"),
    "SCMP_ACT_KILL_THREAD": ("kill", "ends the whole process, not one thread"),
    "SCMP_ACT_KILL_PROCESS": ("kill", ""),
    "SCMP_ACT_TRAP": ("kill", "ends the process; the program is not sent a signal to handle"),
    "SCMP_ACT_LOG": ("allow", "allows the call; nothing is written to a log"),
}
"""What each action becomes, and what that changes."""
KEYS = {
    "profile": {"defaultAction", "defaultErrnoRet", "defaultErrno", "archMap", "architectures",
                "flags", "listenerPath", "listenerMetadata", "syscalls"},
    "rule": {"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes",
             "excludes"},
    "argument": {"index", "value", "valueTwo", "op"},
    "condition": {"caps", "arches", "minKernel"},
}  # fmt: skip
OCI_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
OLDEST_KERNEL = (5, 12)
"""What sandboxd needs at least: a profile's condition on an older one always holds."""

_LOW, _ALL = (1 << 32) - 1, (1 << 64) - 1
_REFUSING_FIRST = ("kill", "errno", "allow")


class ProfileError(HostError):
    """A profile cannot become a policy; nothing was written."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        """Carry what stands in the way, and how to mend it."""
        super().__init__("PROFILE_INVALID", f"cannot import the profile: {problem}", remedy)


@dataclass(frozen=True, slots=True)
class _Test:
    index: int
    mask: int
    value: int

    def toml(self, *, refuses: bool) -> str:
        """Compare as the profile does, in 64 bits; a refusal by the low half cannot be evaded."""
        narrow = self.mask <= _LOW or (refuses and self.mask == _ALL and self.value <= _LOW)
        width = "" if narrow else ", width = 64"
        if self.mask == _ALL:
            return f'{{ index = {self.index}, op = "eq", value = {self.value:#x}{width} }}'
        mask = f"mask = {self.mask:#x}{width}"
        return f'{{ index = {self.index}, op = "masked_eq", value = {self.value:#x}, {mask} }}'


@dataclass(frozen=True, slots=True)
class _Piece:
    """One rule of ours for one call."""

    action: str
    errno: int
    tests: tuple[_Test, ...]
    architectures: tuple[str, ...]
    except_for: _Test | None = None
    """With this argument the profile's default decides instead."""
    source: str = field(default="", compare=False)


def policy_from_profile(text: str, is_call: Callable[[str], bool]) -> str:
    """Give the TOML of the policy that does what a profile's JSON says for a job.

    `is_call` tells whether a system call of that name exists anywhere; others are left out, and the
    result says so. Jobs have no capabilities: rules for those that have are left out, too.

    Raises:
        ProfileError: it is no profile, or says what no policy can; the rule is named.

    """
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"it is not JSON: {error}") from None
    return _Import(_table(profile, "profile", "it"), is_call).toml()


class _Import:
    """One profile on its way."""

    def __init__(self, profile: dict[str, Any], is_call: Callable[[str], bool]) -> None:
        self.is_call = is_call
        self.remarks: list[str] = []
        self.unknown: set[str] = set()
        self.pieces: dict[str, list[_Piece]] = {}
        if profile.get("defaultAction") != "SCMP_ACT_ERRNO":
            raise ProfileError(
                f"its defaultAction is {profile.get('defaultAction')!r:.40}",
                "a policy refuses what it does not name: use SCMP_ACT_ERRNO",
            )
        self.default = _errno(profile, "defaultErrnoRet", "it")
        if self.default != errno_names.EPERM:
            name = errno_names.errorcode[self.default]
            self.remarks.append(f"The profile answers {name} to what it does not name; here EPERM.")
        if profile.get("archMap") or profile.get("architectures"):
            self.remarks.append("Calls of 32-bit architectures and of x32 end the process.")
        if profile.get("flags"):
            self.remarks.append("Its flags have no counterpart here.")
        for number, rule in enumerate(_list(profile, "syscalls", "it"), 1):
            self._rule(_table(rule, "rule", f"rule {number}"), f"rule {number}")

    def _rule(self, rule: dict[str, Any], place: str) -> None:
        names = _names(rule, "names", place) or _names({"name": [rule.get("name")]}, "name", place)
        if names:
            place += f" ({_plain(names[0])}{', ...' if len(names) > 1 else ''})"
        architectures = self._applies(rule, place)
        action, remark = _action(rule, place)
        number = _errno(rule, "errnoRet", place) if action == "errno" else 0
        tests = list(self._conditions(_list(rule, "args", place), action, place))
        if not architectures:
            return
        if remark:
            self.remarks.append(f"{place}: {remark}.")
        comment = rule.get("comment")
        source = place.split(" (")[0] + (f": {comment}" if isinstance(comment, str) else "")
        for alternative, except_for in tests:
            piece = _Piece(action, number, alternative, architectures, except_for, source)
            for name in names:
                self._add(name, piece)

    def _add(self, name: str, piece: _Piece) -> None:
        if not (name.isascii() and name.isidentifier() and name.islower() and self.is_call(name)):
            self.unknown.add(name)
        elif piece not in self.pieces.setdefault(name, []):
            self.pieces[name].append(piece)

    def _applies(self, rule: dict[str, Any], place: str) -> tuple[str, ...]:
        """Give the architectures on which a rule holds for a job; none: it never does."""
        included = _table(rule.get("includes") or {}, "condition", f"{place}, includes")
        excluded = _table(rule.get("excludes") or {}, "condition", f"{place}, excludes")
        arches = _names(included, "arches", place)
        without = {OCI_ARCHITECTURES.get(name) for name in _names(excluded, "arches", place)}
        wanted = {OCI_ARCHITECTURES.get(name) for name in arches} if arches else {*ARCHITECTURES}
        _names(excluded, "caps", place)  # nobody who has them is ever here
        newer = _is_newer(included, place)
        if _names(included, "caps", place):
            self.remarks.append(f"{place}: left out, jobs have no capabilities.")
        elif newer and rule.get("action") in {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}:
            self.remarks.append(f"{place}: left out, the kernel may be older.")
        elif "minKernel" not in excluded or _is_newer(excluded, place):
            return tuple(name for name in ARCHITECTURES if name in wanted - without)
        return ()

    def _conditions(
        self, arguments: list[Any], action: str, place: str
    ) -> Iterator[tuple[tuple[_Test, ...], _Test | None]]:
        """Give the alternatives: all tests of one must hold, except for one value."""
        parsed = [_argument(argument, place) for argument in arguments]
        indices = [test.index for test, _ in parsed]
        # What container runtimes do: conditions on one argument are alternatives, not all at once.
        together = [parsed] if len(set(indices)) == len(indices) else [[one] for one in parsed]
        for tests in together:
            excepted = [test for test, negated in tests if negated]
            if len(excepted) > 1 or (excepted and action != "allow"):
                raise ProfileError(
                    f"{place}: SCMP_CMP_NE has no counterpart here", "say what is allowed by EQ"
                )
            rest = tuple(test for test, negated in tests if not negated and test.mask)
            yield rest, (excepted[0] if excepted else None)

    def toml(self) -> str:
        chains: dict[tuple[_Piece, ...], list[str]] = {}
        sources: dict[tuple[_Piece, ...], list[list[str]]] = {}
        for name, pieces in self.pieces.items():
            chain = tuple(self._chain(name, pieces))
            chains.setdefault(chain, []).append(name)
            sources.setdefault(chain, []).append([piece.source for piece in chain])
        if not chains:
            raise ProfileError("no rule of it is left", "allow something")
        if self.unknown:
            missing = ", ".join(_plain(name) for name in sorted(self.unknown))
            self.remarks.append(f"Left out, as there are no such system calls: {missing}.")
        head = ["# Imported from an OCI seccomp profile.", *(f"# {line}" for line in self.remarks)]
        lines = [*head, "", 'description = "Imported from an OCI seccomp profile."']
        for chain, names in chains.items():
            for at, piece in enumerate(chain):
                origins = dict.fromkeys(one[at] for one in sources[chain])
                lines += ["", *_rule_lines(names, piece, " · ".join(origins))]
        return "\n".join(lines) + "\n"

    def _chain(self, name: str, pieces: list[_Piece]) -> list[_Piece]:
        """Put a call's pieces in the order in which first match means the same."""
        plain = [p for p in pieces if p.tests and p.except_for is None]
        plain.sort(key=lambda piece: _REFUSING_FIRST.index(piece.action))
        always = self._unconditional(name, pieces)
        always_on = {architecture for one in always for architecture in one.architectures}
        excepting = [(p, p.except_for) for p in pieces if p.except_for is not None]
        if len(excepting) > 1:
            places = " and ".join(_number(piece) for piece, _ in excepting)
            raise ProfileError(f"{places} use SCMP_CMP_NE on {name}", "say what is allowed by EQ")
        for piece, except_for in excepting:
            if always_on & {*piece.architectures}:
                continue  # what is allowed anyway needs no exception; what is refused stays so
            rest = replace(piece, except_for=None)
            tests = (*piece.tests, except_for)
            plain.append(replace(rest, action="errno", errno=self.default, tests=tests))
            plain += [rest] if rest.tests else []
            always += [] if rest.tests else [rest]
        return list(_without_repetitions([*plain, *always]))

    def _unconditional(self, name: str, pieces: list[_Piece]) -> list[_Piece]:
        always = [p for p in pieces if not p.tests and p.except_for is None]
        for one in always:
            for other in always:
                if one == other or not {*one.architectures} & {*other.architectures}:
                    continue
                if self._is_default(one) or self._is_default(other):
                    continue
                both = f"{_number(one)} and {_number(other)} both decide {name}"
                raise ProfileError(both, "keep one")
        # Container runtimes pass over a rule that says what is said anyway; so the other decides.
        return sorted(always, key=self._is_default)

    def _is_default(self, piece: _Piece) -> bool:
        return (piece.action, piece.errno) == ("errno", self.default)


def _without_repetitions(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Leave out what an earlier piece decides: a policy refuses rules that cannot apply."""
    decided: dict[tuple[_Test, ...], set[str]] = {}
    for piece in pieces:
        there = decided.setdefault(piece.tests, set()) | decided.get((), set())
        left = tuple(name for name in piece.architectures if name not in there)
        if left:
            yield replace(piece, architectures=left)
        decided[piece.tests] |= {*piece.architectures}


def _rule_lines(names: list[str], piece: _Piece, source: str) -> Iterator[str]:
    yield "[[rule]]"
    yield f"syscalls = [{', '.join(map(_quoted, names))}]"
    yield f'action = "{piece.action}"'
    if piece.action == "errno":
        yield f'errno = "{errno_names.errorcode[piece.errno]}"'
    if piece.tests:
        refuses = piece.action != "allow"
        yield f"arguments = [{', '.join(t.toml(refuses=refuses) for t in piece.tests)}]"
    if piece.architectures != ARCHITECTURES:
        yield f"architectures = [{', '.join(map(_quoted, piece.architectures))}]"
    yield f"because = {_quoted(f'By the imported profile, {source}')}"


def _argument(argument: object, place: str) -> tuple[_Test, bool]:
    """Give what an argument is compared with, and whether it must differ."""
    table = _table(argument, "argument", place)
    index = _whole(table, "index", 5, place)
    value, op = _whole(table, "value", _ALL, place), table.get("op")
    match op:
        case "SCMP_CMP_EQ" | "SCMP_CMP_NE":
            return _Test(index, _ALL, value), op == "SCMP_CMP_NE"
        case "SCMP_CMP_MASKED_EQ":
            wanted = _whole(table, "valueTwo", _ALL, place)
            if wanted & ~value:
                raise ProfileError(f"{place}: a comparison can never hold", "mend its mask")
            return _Test(index, value, wanted), False
        case "SCMP_CMP_LT" | "SCMP_CMP_LE":
            bound = value + (op == "SCMP_CMP_LE")
            if bound > 0 and bound & (bound - 1) == 0:  # below a power of two: high bits are zero
                return _Test(index, _ALL & ~(bound - 1), 0), False
    raise ProfileError(
        f"{place}: {op!r:.40} {value} has no counterpart here", "say what is allowed by EQ"
    )


def _action(rule: dict[str, Any], place: str) -> tuple[str, str]:
    action = rule.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise ProfileError(
            f"{place}: its action is {action!r:.40}", f"known are {', '.join(ACTIONS)}"
        )
    return ACTIONS[action]


def _errno(table: dict[str, Any], key: str, place: str) -> int:
    number = table.get(key)
    if number is None:
        return errno_names.EPERM
    if type(number) is not int or number not in errno_names.errorcode:
        raise ProfileError(f"{place}: {key} is {number!r:.40}", "give the number of an errno")
    return number


def _is_newer(condition: dict[str, Any], place: str) -> bool:
    """Tell whether a condition asks for a kernel that may not be here."""
    least = condition.get("minKernel")
    if least is None:
        return False
    parts = least.split(".") if isinstance(least, str) else []
    if not 2 <= len(parts) <= 3 or not all(p.isdecimal() and len(p) < 6 for p in parts):
        raise ProfileError(f"{place}: minKernel is {least!r:.40}", 'write it as in "4.8"')
    return tuple(map(int, parts[:2])) > OLDEST_KERNEL


def _table(value: object, kind: str, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProfileError(f"{place}: no {kind}, but {type(value).__name__}")
    unknown = next((key for key in value if key not in KEYS[kind]), None)
    if unknown is not None:
        known = ", ".join(sorted(KEYS[kind]))
        raise ProfileError(f"{place}: unknown key {unknown!r:.40}", f"known are {known}")
    return value


def _list(table: Mapping[str, Any], key: str, place: str) -> list[Any]:
    value = table.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProfileError(f"{place}: {key} is no list")
    return value


def _names(table: Mapping[str, Any], key: str, place: str) -> Sequence[str]:
    names = [name for name in _list(table, key, place) if name is not None]
    if not all(isinstance(name, str) for name in names):
        raise ProfileError(f"{place}: {key} is no list of names")
    return list(dict.fromkeys(names))


def _whole(table: dict[str, Any], key: str, greatest: int, place: str) -> int:
    value = table.get(key, 0)
    if type(value) is not int or not 0 <= value <= greatest:
        raise ProfileError(f"{place}: {key} is {value!r:.40}", f"give 0 to {greatest:#x}")
    return value


def _number(piece: _Piece) -> str:
    return piece.source.partition(":")[0]


def _plain(text: str) -> str:
    """Give text that stays within a comment."""
    return text if text.isprintable() and text.isascii() else ascii(text)


def _quoted(text: str) -> str:
    r"""Write a TOML string; JSON's differ in surrogates and in \x7f."""
    whole = " ".join(text.split()).encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
