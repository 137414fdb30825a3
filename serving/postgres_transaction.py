"""The transaction of a copy: who may write, what stands there, what it says of itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lake import postgres_copy
from lake.files import literal
from lake.layout import Layout
from lake.postgres import PostgresError, PostgresUrl
from lake.postgres_copy import SCHEMA, Copy
from lake.records import Record, folder_entry, load

LOCK_SECONDS = 60  # to wait for whoever holds a table that is to be replaced whole


class CopyRefused(RuntimeError):
    """The database is not to be written to; the message says why and what to do next."""


@contextmanager
def transaction(url: PostgresUrl) -> Iterator[Any]:
    """A cursor in a transaction that is rolled back unless it was committed."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    try:
        with dbapi.connect(url.text()) as connection, connection.cursor() as cursor:
            cursor.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute("set local timezone = 'UTC'")
            yield cursor
    except Error as error:
        raise PostgresError(f"{url.setting}, {url.where}: {_explained(str(error), url)}") from None


def _explained(said: str, url: PostgresUrl) -> str:
    lower = said.lower()
    if "permission denied" in lower or "must be owner" in lower:
        return (
            f"{said}\nuser {url.user!r} must own what is published, and may make schemas: "
            "grant create on database ... to ..."
        )
    if "depend" in lower and "drop" in lower:
        return f"{said}\ndrop what depends on it (views of yours), publish, make it again"
    if "lock timeout" in lower:
        return f"{said}\na reader holds a table that is to be replaced; end its transaction"
    if "does not exist" in lower:
        return f"{said}\nsomebody removed it: ticklake postgres publish --full-refresh"
    return f"{said}\nnothing was changed; publish again when that is mended"


def begin(
    cursor: Any, place: Layout, record: Record, url: PostgresUrl, take_over: bool
) -> Copy | None:
    """Take the lock, and look what the database holds. Raises CopyRefused."""
    cursor.execute(f"select pg_try_advisory_xact_lock({postgres_copy.LOCK})")
    if not cursor.fetchone()[0]:
        raise CopyRefused(f"another publication to {url.where} is on its way; let it end")
    for statement in postgres_copy.STATEMENTS:
        cursor.execute(statement)
    found = postgres_copy.read(cursor)
    if found is not None and not take_over and not _is_ours(place, record, found):
        raise CopyRefused(
            f"{url.where} holds publication {found.number} of another lake, {found.lake}; name "
            "another database, or replace it: ticklake postgres publish --take-over"
        )
    return found


def _is_ours(place: Layout, record: Record, found: Copy) -> bool:
    """Is what stands there an earlier publication of this lake, or the current one?"""
    if found.number > record.number:
        return False
    if not folder_entry(place, found.number).exists():
        return found.lake == str(place.root)
    return load(place, found.number).build_id == found.build_id


def state(cursor: Any, place: Layout, record: Record, choice: str) -> None:
    """Write down which publication the database holds from here on."""
    values = (record.build_id, record.published_at, record.revision, str(place.root), choice)
    row = ", ".join(map(literal, values))
    cursor.execute(f"delete from {SCHEMA}.publication")
    cursor.execute(f"insert into {SCHEMA}.publication values ({record.number}, {row})")
