"""Who has which blob and used it when: a small SQLite database that several processes share.

What a transaction has written is on disk when it ends; only times of use may be lost with power.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.model.blob import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 30.0
"""For another process that writes."""

TABLES = """
CREATE TABLE IF NOT EXISTS holding (
  tenant TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, last_use REAL NOT NULL,
  PRIMARY KEY (tenant, sha256)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holding_blob ON holding (sha256, size_bytes, last_use);
CREATE INDEX IF NOT EXISTS holding_use ON holding (last_use);
CREATE INDEX IF NOT EXISTS holding_tenant_use ON holding (tenant, last_use);
"""


class Holding(NamedTuple):
    """One blob of one tenant."""

    tenant: str
    sha256: str
    size_bytes: int
    last_use: float
    """Seconds since 1970."""

    @property
    def digest(self) -> Digest:
        """Name the blob."""
        return Digest(self.sha256, self.size_bytes)


class Ledger:
    """The database. Its caller excludes other threads."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it.

        Raises:
            sqlite3.Error: it cannot be used.

        """
        self._db = sqlite3.connect(
            path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
        )
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

    def put(self, holding: Holding) -> None:
        """Write a holding down, in place of the same one's older use."""
        self._db.execute("INSERT OR REPLACE INTO holding VALUES (?, ?, ?, ?)", holding)

    def use(self, holding: Holding, at: float) -> None:
        """Write down a use."""
        self._db.execute(
            "UPDATE holding SET last_use = ? WHERE tenant = ? AND sha256 = ?",
            (at, holding.tenant, holding.sha256),
        )

    def drop(self, sha256: str, tenant: str | None = None) -> bool:
        """Strike out what one tenant, or everybody, has of a blob; tell whether there was any."""
        where, values = "sha256 = ?", [sha256]
        if tenant is not None:
            where, values = f"{where} AND tenant = ?", [sha256, tenant]
        return self._db.execute(f"DELETE FROM holding WHERE {where}", values).rowcount > 0  # noqa: S608 - our own words

    def find(self, tenant: str, digest: Digest) -> Holding | None:
        """Find a tenant's blob; one of another size is none of this name."""
        found = next(self._select("tenant = ? AND sha256 = ?", tenant, digest.sha256), None)
        if found is None or digest.size_bytes not in {None, found.size_bytes}:
            return None
        return found

    def is_held(self, sha256: str) -> bool:
        """Tell whether anybody has a blob."""
        return next(self._select("sha256 = ? LIMIT 1", sha256), None) is not None

    def page(self, tenant: str, after: str, count: int) -> list[Holding]:
        """List a tenant's blobs by digest, from the one after `after` on."""
        where = "tenant = ? AND sha256 > ? ORDER BY sha256 LIMIT ?"
        return list(self._select(where, tenant, after, count))

    def all(self) -> Iterator[Holding]:
        """Give every holding."""
        return self._select("true")

    def unused_since(self, moment: float) -> list[Holding]:
        """List what was last used before a moment, the oldest first."""
        return list(self._select("last_use < ? ORDER BY last_use", moment))

    def oldest_of(self, tenant: str) -> Iterator[Holding]:
        """Give a tenant's blobs, the longest unused first."""
        return self._select("tenant = ? ORDER BY last_use, sha256", tenant)

    def oldest(self) -> Iterator[Holding]:
        """Give each blob once, by its latest use of all; the longest unused first."""
        return self._select(
            "NOT EXISTS (SELECT 1 FROM holding AS later WHERE later.sha256 = holding.sha256"
            " AND (later.last_use, later.tenant) > (holding.last_use, holding.tenant))"
            " ORDER BY last_use, sha256"
        )

    def bytes_of(self, tenant: str) -> int:
        """Tell how much a tenant has."""
        return self._sum("holding WHERE tenant = ?", tenant)

    def bytes_of_all(self) -> int:
        """Tell how much is stored; a blob of several tenants counts once."""
        return self._sum("(SELECT DISTINCT sha256, size_bytes FROM holding)")

    def _sum(self, of: str, *values: str) -> int:
        query = f"SELECT COALESCE(SUM(size_bytes), 0) FROM {of}"  # noqa: S608 - our own words
        return int(self._db.execute(query, values).fetchone()[0])

    def _select(self, where: str, *values: object) -> Iterator[Holding]:
        query = f"SELECT tenant, sha256, size_bytes, last_use FROM holding WHERE {where}"  # noqa: S608 - as above
        return map(Holding._make, self._db.execute(query, values))
