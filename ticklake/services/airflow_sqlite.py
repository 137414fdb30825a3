"""How Airflow opens its SQLite file, so that a backfill can be made while runs are going on.

Airflow creates a backfill's runs inside savepoints: a look whether the run exists, then the
insert. SQLite begins a savepoint as a reader, and refuses to make it a writer once anybody else
has written in between ("database is locked", at once, whatever the timeout). Taking the write
lock when the savepoint begins makes it wait its turn instead.
"""

import sqlite3
from typing import Any

WAIT_S = 60.0
"""How long a writer waits for another; Python's default of 5 s fails triggers under load."""


class _WriterCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> "_WriterCursor":
        if sql.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        super().execute(sql, parameters)
        return self


class WriterConnection(sqlite3.Connection):
    """A connection whose savepoints hold the write lock from their beginning."""

    def cursor(self, factory: Any = _WriterCursor) -> Any:
        """A cursor of this connection; `factory` as in sqlite3."""
        return super().cursor(factory)


CONNECT_ARGS: dict[str, Any] = {"timeout": WAIT_S, "factory": WriterConnection}
"""For `[database] sql_alchemy_connect_args`."""
