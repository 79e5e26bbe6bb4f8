"""Tells of ended jobs where their callers wished it: only below what the operator allows.

What is to be told is on disk, so a restart forgets none of it. An address is written in few
characters and compared part by part, so that no two readers of it can see different hosts.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import logging
import random
import re
import ssl
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.json_format import MessageToJson

from sandboxd.errors import HostError, PreconditionError, RequestError, Violation
from sandboxd.model.stored import MAX_URL_BYTES, Webhook
from sandboxd.server import wire_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandboxd.jobs.ledger import Record
    from sandboxd.jobs.store import JobStore
    from sandboxd.server.threads import Threads

log = logging.getLogger(__name__)

SIGNATURE = "Sandboxd-Signature"
AT_ONCE = 8
TRY_SECONDS = 10.0
"""For one attempt, from the name's lookup to the answer's head."""
FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(minutes=5)
GIVE_UP_AFTER = timedelta(hours=1)
"""From the job's end."""
SHARED_LOOK_SECONDS = 5.0
"""Between two looks, where other processes may end our jobs."""
RETRY_SECONDS = 1.0
"""After a disk has failed."""
URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?)(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
PORTS = {"http": 80, "https": 443}
DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)|%2f|%5c", re.IGNORECASE)


class Address(NamedTuple):
    """An address, in its parts."""

    scheme: str
    host: str
    port: int
    path: str

    def allows(self, other: Address) -> bool:
        """Tell whether another one lies below this one."""
        below = self.path.rstrip("/")
        is_below = other.path == self.path or f"{other.path}/".startswith(f"{below}/")
        return self[:3] == other[:3] and is_below


def address_of(url: str) -> Address | None:
    """Give the parts of an address; None for what may not be one here."""
    found = URL.fullmatch(url) if len(url.encode()) <= MAX_URL_BYTES else None
    if found is None or DOTS.search(found["path"]):
        return None
    port = int(found["port"] or PORTS[found["scheme"]])
    return Address(found["scheme"], found["host"], port, found["path"] or "/")


def is_installed() -> bool:
    """Tell whether there is what speaks HTTP."""
    return importlib.util.find_spec("httpx") is not None


class Webhooks:
    """Tells of the jobs of one store, as far as they are this process's."""

    def __init__(
        self, store: JobStore, threads: Threads, allowed: Sequence[str], *, is_shared: bool
    ) -> None:
        """Take below which addresses it may tell anything."""
        self._store = store
        self._threads = threads
        self._allowed = [address for url in allowed if (address := address_of(url)) is not None]
        self._is_shared = is_shared
        self._news = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def check(self, webhook: Webhook) -> None:
        """Refuse a webhook that nobody would ever be told by.

        Raises:
            RequestError: its address is none.
            PreconditionError: the operator does not allow it (reason WEBHOOK_FORBIDDEN).

        """
        if address_of(webhook.url) is None:
            rule = f"must be a plain http or https address of at most {MAX_URL_BYTES} bytes"
            raise RequestError(Violation("webhook.url", rule))
        if not self._is_allowed(webhook.url):
            text, remedy = (
                "cannot tell this address of the end",
                "as the operator give job_webhooks",
            )
        elif not is_installed():
            text, remedy = "cannot speak HTTP here", "as the operator install sandboxd[webhooks]"
        else:
            return
        raise PreconditionError("WEBHOOK_FORBIDDEN", "webhook", text, remedy)

    def wake(self) -> None:
        """Look whether somebody is to be told of something."""
        self._news.set()

    def start(self) -> None:
        """Begin with what is on disk."""
        if self._allowed and is_installed():
            logging.getLogger("httpx").setLevel(logging.WARNING)  # else it logs each address
            self._task = asyncio.create_task(self._tell_all())

    async def close(self) -> None:
        """Tell nobody any more."""
        tasks = [*self._under_way.values(), *([self._task] if self._task else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_allowed(self, url: str) -> bool:
        address = address_of(url)
        return address is not None and any(one.allows(address) for one in self._allowed)

    async def _tell_all(self) -> None:
        import httpx  # noqa: PLC0415 - of an extra

        async with httpx.AsyncClient(
            verify=ssl.create_default_context(),
            timeout=TRY_SECONDS,
            trust_env=False,  # no proxy, no password of a .netrc
            follow_redirects=False,
        ) as client:
            while True:
                self._news.clear()
                try:
                    seconds = await self._begin_due(client)
                except HostError as error:
                    log.error("%s", error)  # noqa: TRY400 - no trace
                    seconds = RETRY_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._news.wait()

    async def _begin_due(self, client: Any) -> float | None:  # noqa: ANN401 - of an extra
        """Begin what is due; tell how long it is to the next."""
        due = await self._threads.do(self._store.hooks_due, 2 * AT_ONCE)
        fresh = [record for record in due if record.id not in self._under_way]
        for record in fresh[: AT_ONCE - len(self._under_way)]:
            task = asyncio.create_task(self._tell(client, record))
            self._under_way[record.id] = task
        if self._under_way:
            return None  # each one rings at its end
        seconds = await self._threads.do(self._store.seconds_to_hook)
        if self._is_shared:
            return min(SHARED_LOOK_SECONDS, seconds if seconds is not None else SHARED_LOOK_SECONDS)
        return seconds

    async def _tell(self, client: Any, record: Record) -> None:  # noqa: ANN401 - of an extra
        try:
            is_told = await self._try(client, record)
            delay = None if is_told else _delay(record)
            if delay is None and not is_told:
                log.warning("cannot tell of the end of job %s: gave up", record.id)
            await self._threads.do(self._store.hook_later, record, delay)
        except HostError as error:
            log.error("%s", error)  # noqa: TRY400 - no trace
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            del self._under_way[record.id]
            self._news.set()

    async def _try(self, client: Any, record: Record) -> bool:  # noqa: ANN401 - of an extra
        """Tell somebody once; whether nothing is left to be told."""
        webhook, body = await self._threads.do(_letter, self._store, record)
        if webhook is None or not self._is_allowed(webhook.url):
            return True
        headers = {"Content-Type": "application/json"}
        if webhook.secret:
            headers[SIGNATURE] = signature(webhook.secret, body)
        try:
            async with asyncio.timeout(TRY_SECONDS):
                call = client.stream("POST", webhook.url, content=body, headers=headers)
                async with call as answer:  # what it says is not read
                    return bool(answer.is_success)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with somebody's server
            log.info("cannot tell of the end of job %s: %s", record.id, type(error).__name__)
            return False


def signature(secret: str, body: bytes) -> str:
    """Give the header that signs a body."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def _forbidden(text: str, remedy: str) -> PreconditionError:
    return PreconditionError("WEBHOOK_FORBIDDEN", "webhook", text, remedy)


def _letter(store: JobStore, record: Record) -> tuple[Webhook | None, bytes]:
    with store.reading(record.id) as place:
        webhook, size = place.webhook(), place.output.size_bytes
    return webhook, MessageToJson(wire_jobs.from_record(record, 0, size)).encode()


def _delay(record: Record) -> timedelta | None:
    """Tell how long to wait before the next attempt; None: there is none."""
    since = timedelta(microseconds=time.time_ns() // 1000 - (record.end_us or 0))
    if since >= GIVE_UP_AFTER:
        return None
    delay: timedelta = min(FIRST_DELAY * (1 << min(record.hook_tries, 16)), MAX_DELAY)
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - so that not all come at once
