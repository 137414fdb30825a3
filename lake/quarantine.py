"""Quarantine as bronze holds it now: rejected records, and what became of them since."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import polars as pl
from duckdb import DuckDBPyConnection

from contracts import registry
from contracts.base import Contract
from contracts.codes import RejectCode
from lake import ledger, pins
from lake.layout import Layout
from lake.pins import Pin

_COLUMNS = (
    "reject_code, reject_message, source, unit, position, raw, contract_version, batch, recv_ts, "
    "ingest_ts, delivery_unit, state, replayed_at, replayed_batch"
)


@dataclass(frozen=True)
class Wanted:
    """Which rejected records are meant: all of them, but for what is said here.

    `since` (UTC) is when they were landed, at the earliest.
    """

    datasets: tuple[str, ...] = ()
    code: str | None = None
    source: str | None = None
    since: datetime | None = None
    only_open: bool = False

    def __post_init__(self) -> None:
        """Raises UnknownCode or UnknownDataset, with those that there are."""
        if self.code is not None and self.code not in RejectCode.__members__:
            known = ", ".join(RejectCode)
            raise UnknownCode(f"no reject code '{self.code}'; there are: {known}")
        for dataset in self.datasets:
            registry.get(dataset)

    def contracts(self) -> list[Contract]:
        """Contracts of the datasets that are meant."""
        everything = registry.all_contracts()
        return [everything[name] for name in everything if name in (self.datasets or everything)]

    def where(self) -> tuple[str, list[Any]]:
        """A SQL condition over a view of quarantine, and its parameters."""
        since = self.since
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        given = [("reject_code = ?", self.code), ("source = ?", self.source),
                 ("ingest_ts >= ?", since)]  # fmt: skip
        conditions = [(text, value) for text, value in given if value is not None]
        texts = [text for text, _ in conditions] + (["state = 'open'"] if self.only_open else [])
        return " and ".join(texts) or "true", [value for _, value in conditions]


class UnknownCode(ValueError):
    """No reject code has that name."""


@dataclass(frozen=True)
class Group:
    """Rejected records of one dataset, code and source; first and last landed (UTC)."""

    dataset: str
    code: str
    source: str
    count: int
    first: datetime
    last: datetime
    open: int
    replayed: int


@dataclass(frozen=True)
class Rejected:
    """One rejected record, and what became of it: `state` is open or replayed."""

    dataset: str
    code: str
    message: str
    source: str
    unit: str
    position: int
    raw: bytes
    contract_version: int
    batch: str
    received_at: datetime | None
    landed_at: datetime
    delivery_unit: str | None
    state: str
    replayed_at: datetime | None
    replayed_batch: str | None


@contextmanager
def opened(layout: Layout, at: Pin | None = None) -> Iterator[DuckDBPyConnection]:
    """Views quarantine.<dataset> over bronze as it stands now, or at the versions of `at`.

    Changes nothing but the ledger, which it brings up.
    """
    at = pins.newest(layout) if at is None else at
    ledger.append_new(layout)  # it says what was replayed
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute("set preserve_insertion_order = false")  # a chunk in memory, not all of them
        conn.execute("create schema ledger; create schema quarantine")
        pins.create_ledger_view(conn, layout)
        old = pins.grown(conn)
        for contract in registry.all_contracts().values():
            bronze = pins.bronze_at(layout, contract, at, {})
            is_grown = contract.dataset in old
            pins.create_quarantine_view(conn, contract, bronze.files, is_grown)
        yield conn


def groups(layout: Layout, wanted: Wanted) -> list[Group]:
    """What there is, by dataset, code and source."""
    where, values = wanted.where()
    found = []
    with opened(layout) as conn:
        for contract in wanted.contracts():
            rows = conn.execute(
                "select reject_code, source, count(*), min(ingest_ts), max(ingest_ts), "
                "count(*) filter (where state = 'open'), count(*) filter (where state <> 'open') "
                f"from quarantine.{contract.dataset} where {where} group by all order by 1, 2",
                values,
            ).fetchall()
            found += [Group(contract.dataset, *row) for row in rows]
    return found


def records(layout: Layout, wanted: Wanted, limit: int | None = None) -> Iterator[Rejected]:
    """The records themselves, the newest first where there is a limit, else in no order."""
    where, values = wanted.where()
    selects = [
        f"select '{contract.dataset}' as dataset, {_COLUMNS} from quarantine.{contract.dataset} "
        f"where {where}"
        for contract in wanted.contracts()
    ]
    query = " union all ".join(selects)
    if limit is not None:
        query = f"from ({query}) order by ingest_ts desc, unit, position desc limit {limit}"
    with opened(layout) as conn:
        answer = conn.execute(query, values * len(selects))
        while rows := answer.fetchmany(1_000):
            for row in rows:
                yield Rejected(*row)


def count(conn: DuckDBPyConnection, dataset: str, wanted: Wanted) -> int:
    """How many records of a dataset are meant."""
    where, values = wanted.where()
    query = f"select count(*) from quarantine.{dataset} where {where}"
    return int(conn.execute(query, values).fetchall()[0][0])


def chunks(
    conn: DuckDBPyConnection, dataset: str, wanted: Wanted, rows: int
) -> Iterator[pl.DataFrame]:
    """The records of a dataset as frames of at most `rows`, in no order.

    Columns: recv_ts_ns, unit, position, delivery_unit, source, raw.
    """
    where, values = wanted.where()
    query = (
        "select recv_ts_ns, unit, position, delivery_unit, source, raw "
        f"from quarantine.{dataset} where {where}"
    )
    reader = conn.sql(query, params=values).to_arrow_reader(rows)
    waiting: list[pl.DataFrame] = []
    height = 0
    for batch in reader:  # one of its own for every file, however small
        waiting.append(pl.DataFrame(batch))
        height += batch.num_rows
        if height >= rows:
            yield from pl.concat(waiting).iter_slices(rows)
            waiting, height = [], 0
    if waiting:
        yield from pl.concat(waiting).iter_slices(rows)
