"""The configuration: defaults, `sandboxd.toml`, SANDBOXD_* of the environment, options, in turn.

Decides the effective `Settings` and where to listen. An unknown key is an error, never ignored.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandboxd.cli.values import parse_duration, parse_limit, parse_size
from sandboxd.errors import HostError
from sandboxd.host import Settings
from sandboxd.identity import IdMode
from sandboxd.kernel.cgroups import Rung
from sandboxd.model.limits import ROW_OF, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG_NAME = "sandboxd.toml"
ENV_PREFIX = "SANDBOXD_"
LEAST_BLOB_TTL = timedelta(minutes=5)
"""Who was told that a blob is there has time to use it."""
MOST_KEEP_TIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that `serve` can be told."""

    listen: tuple[str, ...] = ()
    """Addresses; empty: the socket in the runtime directory."""
    grace: timedelta | None = None
    """How long a drain waits for running jobs; unset: until they have ended."""
    callers: str | None = None
    """The file that says who may call; unset: the owner of the unix socket, and all of loopback."""
    tls: Mapping[str, str] | None = None
    """The files of TLS, by the names of `TlsFiles`; unset: TCP is without, on loopback alone."""
    audit: str | None = None
    """Where the audit goes; unset: to stderr."""
    workers: int = 1
    """How many processes serve."""
    blobs: str | None = None
    """The directory of blobs; unset or empty: none are kept."""
    blob_bytes: int = 10 << 30
    """What all blobs may have together."""
    blob_ttl: timedelta | None = None
    """How long a blob stays that nobody uses; unset: until room is needed."""
    jobs: str | None = None
    """The directory of jobs that outlive their caller; unset or empty: none are kept."""
    job_bytes: int = 10 << 30
    """What all of them may have together."""
    job_queue: int = 10_000
    """How many of them may wait."""
    job_keep_time: timedelta = timedelta(days=1)
    """How long one is kept after its end, by default and at most."""
    job_webhooks: tuple[str, ...] = ()
    """Below which addresses the end of one may be told."""
    settings: Settings = field(default_factory=Settings)


def load(path: str | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> Config:
    """Give the effective configuration.

    `path` is a file that must exist; unset, `sandboxd.toml` in the configuration directory is read
    if it is there. `options` are those given on the command line, None for the others.

    Raises:
        HostError: a file, a key or a value is wrong; the text says where.

    """
    table = _read(path)
    for name in _scalars():
        if (text := environment.get(ENV_PREFIX + name.upper())) is not None:
            table[name] = text
    table.update({name: value for name, value in options.items() if value not in {None, ()}})
    return _config(table)


def default_socket() -> str:
    """Name the socket in the runtime directory: the user's, else /run/sandboxd."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return f"unix:{runtime}/sandboxd.sock"
    if os.geteuid() == 0:
        return "unix:/run/sandboxd/sandboxd.sock"
    return f"unix:/tmp/sandboxd-{os.getuid()}/sandboxd.sock"


def as_toml(config: Config) -> str:
    """Write a configuration as the file that would give it."""
    lines = [f"listen = {_toml(list(config.listen))}"]
    if config.workers != 1:
        lines.append(f"workers = {config.workers}")
    if config.grace is not None:
        lines.append(f'grace = "{_seconds(config.grace)}"')
    paths = {"callers": config.callers, "audit": config.audit, "blobs": config.blobs}
    lines += [f"{name} = {_toml(path)}" for name, path in paths.items() if path is not None]
    if config.blobs is not None:
        lines.append(f"blob_bytes = {config.blob_bytes}")
    if config.blob_ttl is not None:
        lines.append(f'blob_ttl = "{_seconds(config.blob_ttl)}"')
    lines += _jobs_as_toml(config)
    tables = {"defaults": config.settings.defaults, "ceilings": config.settings.ceilings}
    for name, value in asdict(config.settings).items():
        if name not in tables and value not in {None, ()}:
            lines.append(f"{name} = {_toml(value)}")
    for name, limits in tables.items():
        given = {row: getattr(limits, row) for row in ROW_OF if getattr(limits, row) is not None}
        if given:
            lines += ["", f"[{name}]"]
            lines += [f"{row} = {_toml(value)}" for row, value in given.items()]
    if config.tls is not None:
        lines += ["", "[tls]", *(f"{name} = {_toml(path)}" for name, path in config.tls.items())]
    return "\n".join(lines)


def _jobs_as_toml(config: Config) -> list[str]:
    names = ("jobs", "job_bytes", "job_queue", "job_keep_time", "job_webhooks")
    return [f"{n} = {_toml(getattr(config, n))}" for n in names if config.jobs is not None]


def _toml(value: Any) -> str:  # noqa: ANN401 - any configuration value
    if isinstance(value, timedelta):
        return f'"{_seconds(value)}"'
    if isinstance(value, (Rung, IdMode)):
        return f'"{value.value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def _seconds(value: timedelta) -> str:
    """Write a duration to the microsecond: `%g` would round it, and large ones into exponents."""
    whole, rest = divmod(value // timedelta(microseconds=1), 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".") + "s"


def _scalars() -> list[str]:
    tables = {"defaults", "ceilings", "policy_directories", "root_binds"}
    return [
        "listen",
        "grace",
        "callers",
        "audit",
        "workers",
        "blobs",
        "blob_bytes",
        "blob_ttl",
        "jobs",
        "job_bytes",
        "job_queue",
        "job_keep_time",
        *(f.name for f in fields(Settings) if f.name not in tables),
    ]


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
        places = [f"{base}/sandboxd/{CONFIG_NAME}", f"/etc/sandboxd/{CONFIG_NAME}"]
        path = next(filter(os.path.isfile, places), None)  # one that cannot be entered has none
        if path is None:
            return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(f"cannot read {path}: {error}") from error


def _config(table: dict[str, Any]) -> Config:
    known = {f.name for f in (*fields(Config), *fields(Settings))} - {"settings"}
    if unknown := set(table) - known:
        names = ", ".join(sorted(known))
        raise _invalid(f"cannot use the setting {min(unknown)!r}; known are: {names}")
    try:
        listen = table.pop("listen", ())
        grace = table.pop("grace", None)
        callers, audit = table.pop("callers", None), table.pop("audit", None)
        tls = table.pop("tls", None)
        workers = _setting("workers", table.pop("workers", 1))
        own = [f.name for f in fields(Config) if f.name.startswith(("blob", "job"))]
        kept = {name: _setting(name, table.pop(name)) for name in own if name in table}
        return Config(
            listen=(listen,) if isinstance(listen, str) else tuple(listen),
            grace=None if grace is None else _duration(grace),
            callers=None if callers is None else str(callers),
            audit=None if audit is None else str(audit),
            tls=None if tls is None else _tls(tls),
            workers=workers,
            **kept,
            settings=Settings(**{name: _setting(name, value) for name, value in table.items()}),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise _invalid(f"cannot use the configuration: {error}") from error


def _setting(name: str, value: Any) -> Any:  # noqa: ANN401 - each setting has its type
    try:
        return _parsed(name, value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error


def _parsed(name: str, value: Any) -> Any:  # noqa: ANN401 - each setting has its type
    match name:
        case "slot_count" | "workers" | "job_queue":
            return _count(value, least=1)
        case "queue_length" | "pool_size" | "shared_cpu_count":
            return _count(value, least=0)
        case "cgroup" | "id_mode":
            return {"cgroup": Rung, "id_mode": IdMode}[name](getattr(value, "value", value))
        case "defaults" | "ceilings":
            return _limits(value)
        case "policy_directories" | "root_binds":
            return (value,) if isinstance(value, str) else tuple(value)
        case _:
            return _READERS.get(name, str)(value)


def _count(value: Any, least: int) -> int:  # noqa: ANN401 - each setting has its type
    number = int(value)
    if number < least:
        raise ValueError(f"{number} is less than {least}")
    return number


def _switch(value: Any) -> bool:  # noqa: ANN401 - each setting has its type
    known = {"true": True, "false": False}
    if (text := str(value).lower()) not in known:
        raise ValueError(f"{value!r} is neither true nor false")
    return known[text]


def _limits(values: dict[str, Any]) -> Limits:
    given = {}
    for name, value in values.items():
        if name not in ROW_OF:
            raise ValueError(f"{name} is no limit")
        given[name] = parse_limit(ROW_OF[name], str(value))
    return Limits(**given)  # type: ignore[arg-type]  # each row has its unit's type


def _tls(files: Any) -> dict[str, str]:  # noqa: ANN401 - whatever the file has there
    known = ("certificate", "key", "client_ca")
    if not isinstance(files, dict):
        raise TypeError("tls must be a table")
    for name, path in files.items():
        if name not in known:
            raise ValueError(f"tls.{name} is not known; known are: {', '.join(known)}")
        if not isinstance(path, str):
            raise TypeError(f"tls.{name} must be a path")
    for name in known[:2]:
        if name not in files:
            raise ValueError(f"tls.{name} is missing")
    return files


def _duration(value: Any) -> timedelta:  # noqa: ANN401 - text or an already parsed option
    return value if isinstance(value, timedelta) else parse_duration(str(value))


def _time_to_live(value: Any) -> timedelta:  # noqa: ANN401 - as above
    found = _duration(value)
    if found < LEAST_BLOB_TTL:
        raise ValueError(f"must be at least {_seconds(LEAST_BLOB_TTL)}, so that a blob can be used")
    return found


def _keep_time(value: Any) -> timedelta:  # noqa: ANN401 - as above
    found = _duration(value)
    if not timedelta() < found <= MOST_KEEP_TIME:
        raise ValueError(f"must be above zero, and at most {_seconds(MOST_KEEP_TIME)}")
    return found


def _webhooks(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    from sandboxd.server.webhooks import address_of  # noqa: PLC0415 - few have any

    found = (value,) if isinstance(value, str) else tuple(map(str, value))
    for url in found:
        if address_of(url) is None or "?" in url:
            raise ValueError(f"{url!r} is no plain http or https address")
    return found


_READERS: dict[str, Callable[[Any], Any]] = {
    "compiled": _switch,
    "blobs": lambda value: str(value) or None,
    "blob_bytes": lambda value: parse_size(str(value)),
    "blob_ttl": _time_to_live,
    "jobs": lambda value: str(value) or None,
    "job_bytes": lambda value: parse_size(str(value)),
    "job_keep_time": _keep_time,
    "job_webhooks": _webhooks,
}
"""Of settings that are neither text nor of the kinds above."""


def _invalid(message: str) -> HostError:
    return HostError("CONFIG_INVALID", message, "see docs/operating.md")
