"""The file of callers: what it means, what is wrong with it, and whose token or name this is.

Parses and looks up; reads no file and knows no gRPC. Every mistake is an error that names its
place.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError
from sandboxd.model.caller import Caller, Role, Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
HASH = re.compile(r"sha256:([0-9a-f]{64})")
WHOLE_NUMBERS = {"slots": 1, "memory_bytes": 1, "queue_places": 0, "blob_bytes": 0, "burst": 1}
"""Fields of a share, and the least that each may be."""
MAX_UID = 2**32 - 2
"""The last one means "nobody" to the kernel: (uid_t) -1."""


@dataclass(frozen=True, slots=True)
class Callers:
    """All who may call; no token, name or uid belongs to two of them."""

    all: tuple[Caller, ...] = ()

    def by_token(self, token: bytes) -> Caller | None:
        """Find whose token this is, in the same time whoever's it is.

        A plain SHA-256 is enough at rest, without salt or stretching: a token is 256 random bits,
        so nobody finds one by trying.
        """
        wanted = hashlib.sha256(token).digest()
        found = None
        for caller in self.all:
            for known in caller.token_hashes:
                if hmac.compare_digest(known, wanted):
                    found = caller
        return found

    def by_certificate(self, names: Iterable[str]) -> Caller | None:
        """Find the one caller that a certificate with these names belongs to."""
        given = set(names)
        found = [caller for caller in self.all if given.intersection(caller.certificates)]
        return found[0] if len(found) == 1 else None

    def by_uid(self, uid: int) -> Caller | None:
        """Find the caller who is this user of the machine."""
        return next((caller for caller in self.all if uid in caller.uids), None)

    @property
    def uids(self) -> frozenset[int]:
        """All users of this machine who may call."""
        return frozenset(uid for caller in self.all for uid in caller.uids)


def hash_of(token: str) -> str:
    """Give the line that stands for a token in the file of callers."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def parse_callers(text: str, path: str) -> Callers:
    """Read the text of a file of callers; `path` is for the errors.

    Raises:
        HostError: something in it is wrong (reason CALLERS_INVALID); the text says where.

    """
    try:
        rows = _rows(tomllib.loads(text))
        callers = tuple(_caller(row, f"caller {n}") for n, row in enumerate(rows, start=1))
        _check_unique(callers)
    except ValueError as error:
        remedy = "see docs/operating.md, Who may call"
        raise HostError("CALLERS_INVALID", f"cannot use {path}: {error}", remedy) from None
    return Callers(callers)


def _rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    _only_known(table, {"caller"})
    rows = table.get("caller", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("caller must be tables, each headed [[caller]]")
    return rows


def _caller(row: dict[str, Any], place: str) -> Caller:
    name = row.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{place}: name must be up to 64 letters, digits, '_', '.' or '-'")
    place = f"{place} ({name})"
    try:
        _only_known(row, {"name", *FIELDS})
        values = {field: read(row[key]) for key, (field, read) in FIELDS.items() if key in row}
        caller = Caller(name=name, **{"roles": frozenset(), **values})
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if not caller.roles:
        raise ValueError(f"{place}: roles must name at least one of {_role_names()}")
    if not (caller.token_hashes or caller.certificates or caller.uids):
        raise ValueError(f"{place}: one of tokens, certificates, uids must say how it is known")
    return caller


def _roles(value: object) -> frozenset[Role]:
    names = _strings(value, "roles")
    known = {role.value: role for role in Role}
    for name in names:
        if name not in known:
            raise ValueError(f"roles: {name!r} is none of {_role_names()}")
    return frozenset(known[name] for name in names)


def _tokens(value: object) -> tuple[bytes, ...]:
    matches = [HASH.fullmatch(text) for text in _strings(value, "tokens")]
    for index, match in enumerate(matches):
        if match is None:  # says no more: somebody may have put the token itself there
            raise ValueError(f"tokens[{index}] must be sha256: and 64 hexadecimal digits")
    return tuple(bytes.fromhex(match[1]) for match in matches if match)


def _certificates(value: object) -> tuple[str, ...]:
    return _strings(value, "certificates")


def _uids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError("uids must be a list of numbers")  # noqa: TRY004 - a wrong file
    return tuple(_whole(uid, "uids", 0, MAX_UID) for uid in value)


def _share(value: object) -> Share:
    if not isinstance(value, dict):
        raise ValueError("share must be a table, headed [caller.share]")  # noqa: TRY004 - as above
    _only_known(value, set(Share.__slots__))
    given: dict[str, Any] = {}
    for name, least in WHOLE_NUMBERS.items():
        if name in value:
            given[name] = _whole(value[name], f"share.{name}", least)
    if "rate" in value:
        given["rate"] = _rate(value["rate"])
        given.setdefault("burst", math.ceil(given["rate"]))
    elif "burst" in value:
        raise ValueError("share.burst needs share.rate")
    return Share(**given)


FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "roles": ("roles", _roles),
    "tokens": ("token_hashes", _tokens),
    "certificates": ("certificates", _certificates),
    "uids": ("uids", _uids),
    "share": ("share", _share),
}
"""Each key of a [[caller]] beside its name: the field of `Caller`, and what reads it."""


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("share.rate must be a number of calls a second")  # noqa: TRY004 - as above
    if not 0 < value < math.inf:
        raise ValueError("share.rate must be above zero")
    return float(value)


def _whole(value: object, name: str, least: int, most: int = 2**63 - 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number, at least {least}")
    return value


def _strings(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError(f"{name} must be a list of texts, none empty")
    return tuple(value)


def _only_known(table: dict[str, Any], known: set[str]) -> None:
    if unknown := set(table) - known:
        raise ValueError(f"{min(unknown)!r} is not known; known are: {', '.join(sorted(known))}")


def _role_names() -> str:
    return ", ".join(role.value for role in Role)


def _check_unique(callers: tuple[Caller, ...]) -> None:
    """Refuse what would leave open who calls."""
    seen: dict[object, str] = {}
    for index, caller in enumerate(callers, start=1):
        for what, key in _marks(caller):
            if (what, key) in seen:
                other = seen[what, key]
                raise ValueError(f"caller {index} ({caller.name}): {what} is also that of {other}")
            seen[what, key] = f"caller {index}"


def _marks(caller: Caller) -> Iterator[tuple[str, object]]:
    yield "the name", caller.name
    yield from (("a token", value) for value in caller.token_hashes)
    yield from ((f"certificate {name!r}", name) for name in caller.certificates)
    yield from ((f"uid {uid}", uid) for uid in caller.uids)
