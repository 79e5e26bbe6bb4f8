"""Who has which blob and used it when: a small SQLite database that several processes share.

What a transaction has written is on disk when it ends; only times of use may be lost with power.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.model.blob import Digest
from sandboxd.store.charge import charged_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 30.0
"""For another process that writes."""

TABLES = """
CREATE TABLE IF NOT EXISTS blob (
  file TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL, charged_bytes INTEGER NOT NULL, last_use REAL NOT NULL,
  is_leaving INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS blob_name ON blob (tenant, sha256) WHERE NOT is_leaving;
CREATE INDEX IF NOT EXISTS blob_leaving ON blob (file) WHERE is_leaving;
CREATE INDEX IF NOT EXISTS blob_use ON blob (last_use, sha256);
CREATE INDEX IF NOT EXISTS blob_tenant_use ON blob (tenant, last_use, sha256);
CREATE INDEX IF NOT EXISTS blob_charge ON blob (tenant, charged_bytes);
"""


class Holding(NamedTuple):
    """One blob of one tenant."""

    file: str
    """Its name in the directory of content, which no other file ever has."""
    tenant: str
    sha256: str
    size_bytes: int
    last_use: float
    """Seconds since 1970."""

    @property
    def digest(self) -> Digest:
        """Name the blob."""
        return Digest(self.sha256, self.size_bytes)

    @property
    def charged_bytes(self) -> int:
        """What it counts."""
        return charged_bytes(self.size_bytes)


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
        # Of several who make a new database one at a time may do this: each reads first and then
        # wants to write, and SQLite refuses at once what might wait for ever.
        self._db.execute("PRAGMA journal_mode = WAL")
        with self.writing():
            for table in TABLES.split(";"):  # executescript() would end our transaction
                self._db.execute(table)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def writing(self, *, durably: bool = True) -> Iterator[None]:
        """Be the only process that writes while the context lasts; then all is kept, or nothing.

        Written or not, it is also the lock of the store's directories.
        """
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durably else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors end it themselves
                self._db.execute("ROLLBACK")
            raise

    def put(self, new: Holding) -> None:
        """Write down a new blob; the tenant has no other of its digest that does not leave."""
        self._db.execute(
            "INSERT INTO blob (file, tenant, sha256, size_bytes, charged_bytes, last_use)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (new.file, new.tenant, new.sha256, new.size_bytes, new.charged_bytes, new.last_use),
        )

    def use(self, holding: Holding, now: float) -> None:
        """Write down a use."""
        self._db.execute("UPDATE blob SET last_use = ? WHERE file = ?", (now, holding.file))

    def leave(self, file: str) -> None:
        """Have a blob leave: nobody finds it any more, but it counts until it is dropped."""
        self._db.execute("UPDATE blob SET is_leaving = 1 WHERE file = ?", (file,))

    def drop(self, file: str) -> None:
        """Forget a blob."""
        self._db.execute("DELETE FROM blob WHERE file = ?", (file,))

    def find(self, tenant: str, digest: Digest) -> Holding | None:
        """Find a tenant's blob; one of another size is none of this name."""
        where = "NOT is_leaving AND tenant = ? AND sha256 = ?"
        found = next(iter(self._select(where, tenant, digest.sha256)), None)
        if found is None or digest.size_bytes not in {None, found.size_bytes}:
            return None
        return found

    def page(self, tenant: str, after: str, count: int) -> list[Holding]:
        """List a tenant's blobs by digest, from the one after `after` on."""
        where = "NOT is_leaving AND tenant = ? AND sha256 > ? ORDER BY sha256 LIMIT ?"
        return list(self._select(where, tenant, after, count))

    def files(self) -> set[str]:
        """Name the files of all blobs, of those that leave, too."""
        return {file for (file,) in self._db.execute("SELECT file FROM blob")}

    def leaving(self) -> list[Holding]:
        """List the blobs that leave."""
        return list(self._select("is_leaving"))

    def unused_since(self, moment: float) -> list[Holding]:
        """List what was last used before a moment, the oldest first."""
        return list(self._select("last_use < ? ORDER BY last_use", moment))

    def oldest_of(self, tenant: str) -> Iterator[Holding]:
        """Give a tenant's blobs, the longest unused first."""
        return self._select("tenant = ? ORDER BY last_use, sha256", tenant)

    def oldest(self) -> Iterator[Holding]:
        """Give all blobs, the longest unused first."""
        return self._select("true ORDER BY last_use, sha256")

    def bytes_of(self, tenant: str) -> int:
        """Tell what a tenant's blobs count."""
        return self._sum("WHERE tenant = ?", tenant)

    def bytes_of_all(self) -> int:
        """Tell what all blobs count."""
        return self._sum()

    def _sum(self, where: str = "", *values: str) -> int:
        query = f"SELECT COALESCE(SUM(charged_bytes), 0) FROM blob {where}"  # noqa: S608 - our own words
        return int(self._db.execute(query, values).fetchone()[0])

    def _select(self, where: str, *values: object) -> Iterator[Holding]:
        query = f"SELECT file, tenant, sha256, size_bytes, last_use FROM blob WHERE {where}"  # noqa: S608 - as above
        return map(Holding._make, self._db.execute(query, values))
