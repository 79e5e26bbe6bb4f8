"""Which jobs there are and how far each is: a small SQLite database that several processes share.

What a transaction has written is on disk when it ends. Times are microseconds since 1970.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.model.stored import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sandboxd.jobs.values import Page

PATIENCE_SECONDS = 30.0
"""For another process that writes."""

TABLES = """
CREATE TABLE IF NOT EXISTS job (
  id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, owner TEXT NOT NULL, state INTEGER NOT NULL,
  request_id TEXT NOT NULL, request_digest TEXT NOT NULL, priority INTEGER NOT NULL,
  labels TEXT NOT NULL, keep_us INTEGER NOT NULL, create_us INTEGER NOT NULL, start_us INTEGER,
  end_us INTEGER, expire_us INTEGER, request_bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL,
  outcome BLOB, fault TEXT, cancel TEXT, hook_due_us INTEGER, hook_tries INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS job_request ON job (tenant, request_id) WHERE request_id != '';
CREATE INDEX IF NOT EXISTS job_list ON job (tenant, create_us, id);
CREATE INDEX IF NOT EXISTS job_active ON job (state, tenant, priority, create_us) WHERE state <= 2;
CREATE INDEX IF NOT EXISTS job_expiry ON job (expire_us) WHERE expire_us IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_hook ON job (hook_due_us) WHERE hook_due_us IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_size ON job (tenant, disk_bytes);
"""


class Record(NamedTuple):
    """One job."""

    id: str
    tenant: str
    owner: str
    """The process that runs it, or will."""
    state: int
    request_id: str
    request_digest: str
    priority: int
    labels: str
    """JSON."""
    keep_us: int
    create_us: int
    request_bytes: int
    disk_bytes: int
    start_us: int | None = None
    end_us: int | None = None
    expire_us: int | None = None
    outcome: bytes | None = None
    fault: str | None = None
    """JSON."""
    cancel: str | None = None
    """JSON: how its caller wishes it to end, for another process that runs it."""
    hook_due_us: int | None = None
    hook_tries: int = 0


COLUMNS = ", ".join(Record._fields)
PLACES = ", ".join("?" for _ in Record._fields)
QUEUED, RUNNING = int(JobState.QUEUED), int(JobState.RUNNING)
TURN = "ORDER BY priority DESC, create_us, id"


class Ledger:
    """The database. Its caller excludes other threads."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it; the caller keeps other processes from doing so meanwhile.

        Raises:
            sqlite3.Error: it cannot be used.

        """
        self._db = sqlite3.connect(
            path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self.writing():
            for table in TABLES.split(";"):  # executescript() would end our transaction
                self._db.execute(table)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only process that writes while the context lasts; then all is kept, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors end it themselves
                self._db.execute("ROLLBACK")
            raise

    # --- one job --------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Write down a new job."""
        self._db.execute(f"INSERT INTO job ({COLUMNS}) VALUES ({PLACES})", record)  # noqa: S608 - our own words

    def change(self, record: Record, **values: object) -> None:
        """Write some columns of a job anew."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE job SET {columns} WHERE id = ?", (*values.values(), record.id))  # noqa: S608 - as above

    def drop(self, record: Record) -> None:
        """Forget a job."""
        self._db.execute("DELETE FROM job WHERE id = ?", (record.id,))

    def find(self, job_id: str) -> Record | None:
        """Find a job, whoever's it is."""
        return self._first("id = ?", job_id)

    def find_request(self, tenant: str, request_id: str) -> Record | None:
        """Find the job that a tenant has asked for by this name."""
        return self._first("tenant = ? AND request_id = ?", tenant, request_id)

    # --- a tenant's jobs ------------------------------------------------------------------------

    def page(self, tenant: str, now_us: int, page: Page) -> list[Record]:
        """List some of a tenant's jobs, the latest first."""
        where = "tenant = ? AND (expire_us IS NULL OR expire_us > ?)"
        values: list[object] = [tenant, now_us]
        if page.before is not None:
            where += " AND (create_us, id) < (?, ?)"
            values += page.before
        if page.states:
            where += f" AND state IN ({', '.join(str(int(state)) for state in page.states)})"
        for label in page.labels.items():
            where += " AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)"
            values += label
        where += " ORDER BY create_us DESC, id DESC LIMIT ?"
        return list(self._select(where, *values, page.size))

    def positions(self, tenant: str) -> dict[str, int]:
        """Tell of each waiting job of a tenant how many may run before it.

        Tenants take turns: before somebody's third job, at most three of each other one.
        """
        query = f"SELECT id FROM job WHERE state = {QUEUED} AND tenant = ? {TURN}"  # noqa: S608 - as above
        own = [found for (found,) in self._db.execute(query, (tenant,))]
        query = f"SELECT COUNT(*) FROM job WHERE state = {QUEUED} AND tenant != ? GROUP BY tenant"  # noqa: S608 - as above
        others = [count for (count,) in self._db.execute(query, (tenant,))] if own else []
        return {
            found: rank + sum(min(count, rank + 1) for count in others)
            for rank, found in enumerate(own)
        }

    # --- all jobs of one process ----------------------------------------------------------------

    def next_of(self, owner: str, tenant: str, count: int) -> list[Record]:
        """List whose turn is next among the waiting jobs of a tenant."""
        where = f"state = {QUEUED} AND owner = ? AND tenant = ? {TURN} LIMIT ?"
        return list(self._select(where, owner, tenant, count))

    def next_elsewhere(self, owner: str, count: int) -> list[Record]:
        """List the waiting jobs of other processes, the oldest first."""
        where = f"state = {QUEUED} AND owner != ? ORDER BY create_us, id LIMIT ?"
        return list(self._select(where, owner, count))

    def tenants_waiting(self, owner: str) -> list[str]:
        """Name the tenants that have waiting jobs."""
        query = f"SELECT DISTINCT tenant FROM job WHERE state = {QUEUED} AND owner = ?"  # noqa: S608 - as above
        return [tenant for (tenant,) in self._db.execute(query, (owner,))]

    def waiting_counts(self, owner: str, tenant: str) -> tuple[int, int]:
        """Tell how many jobs wait: all of one process, and those of a tenant."""
        query = (
            "SELECT COUNT(*), COALESCE(SUM(tenant = ?), 0) FROM job"  # noqa: S608 - as above
            f" WHERE state = {QUEUED} AND owner = ?"
        )
        every, own = self._db.execute(query, (tenant, owner)).fetchone()
        return int(every), int(own)

    def wishes(self, owner: str) -> list[Record]:
        """List the running jobs that somebody wishes to end."""
        where = f"state = {RUNNING} AND cancel IS NOT NULL AND owner = ?"
        return list(self._select(where, owner))

    def hooks_due(self, owner: str, now_us: int, count: int) -> list[Record]:
        """List the ended jobs of which somebody should be told by now, the longest due first."""
        where = "hook_due_us <= ? AND owner = ? ORDER BY hook_due_us LIMIT ?"
        return list(self._select(where, now_us, owner, count))

    def next_hook_us(self, owner: str) -> int | None:
        """Tell when somebody is to be told next."""
        query = "SELECT MIN(hook_due_us) FROM job WHERE owner = ? AND hook_due_us IS NOT NULL"
        found: int | None = self._db.execute(query, (owner,)).fetchone()[0]
        return found

    # --- all jobs -------------------------------------------------------------------------------

    def bytes_of(self, tenant: str) -> tuple[int, int]:
        """Tell what all jobs take, and those of a tenant."""
        query = (
            "SELECT COALESCE(SUM(disk_bytes), 0),"
            " COALESCE(SUM(disk_bytes) FILTER (WHERE tenant = ?), 0) FROM job"
        )
        every, own = self._db.execute(query, (tenant,)).fetchone()
        return int(every), int(own)

    def owners(self) -> set[str]:
        """Name the processes that have something to do still."""
        query = "SELECT DISTINCT owner FROM job WHERE state <= 2 OR hook_due_us IS NOT NULL"
        return {owner for (owner,) in self._db.execute(query)}

    def of_owner(self, owner: str) -> list[Record]:
        """List what one process has to do still."""
        return list(self._select("owner = ? AND (state <= 2 OR hook_due_us IS NOT NULL)", owner))

    def expired(self, now_us: int) -> list[Record]:
        """List what has had its time, and whose end nobody is still to be told of."""
        return list(self._select("expire_us <= ? AND hook_due_us IS NULL", now_us))

    def states(self) -> dict[str, int]:
        """Give the state of every job."""
        return dict(self._db.execute("SELECT id, state FROM job"))

    def _first(self, where: str, *values: object) -> Record | None:
        return next(self._select(where, *values), None)

    def _select(self, where: str, *values: object) -> Iterator[Record]:
        query = f"SELECT {COLUMNS} FROM job WHERE {where}"  # noqa: S608 - as above
        return map(Record._make, self._db.execute(query, values))


def as_json(values: Mapping[str, str]) -> str:
    """Write a map as a column holds it."""
    return json.dumps(dict(values), sort_keys=True)
