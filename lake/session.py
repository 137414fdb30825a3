"""One dbt invocation: what it reads, what is dirty, and how far it may advance the pin.

The dbt plugin calls this; nothing here knows dbt. State lives in the warehouse file itself, in
schema `build`, so that it commits together with the tables it speaks of: a warehouse that is
lost, old or killed half-way is never wrong about itself, only behind.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from contracts import registry
from lake import pins, speed
from lake.layout import Layout, layout
from lake.pins import Pin
from lake.settings import PROJECT, Settings

# What changes the meaning of every model: macros, seeds, variables, and the contracts beneath.
_INPUTS = ("dbt/macros", "dbt/seeds", "dbt/dbt_project.yml", "contracts/versions")

# Rows of audit.dirty that speak of what landed, not of what a build replaced.
IS_SEED = "(model like 'bronze.%' or model like 'speed.%' or model = 'ledger.commits')"

STATE_SQL = """
create schema if not exists build;
create schema if not exists audit;
create schema if not exists scope;
create table if not exists build.pin (dataset varchar primary key, version bigint);
create table if not exists build.model_state (model varchar, checksum varchar);
create table if not exists audit.dirty (
    build_id varchar, model varchar, instrument_id varchar,
    hour timestamptz, until timestamptz, is_whole boolean, is_open boolean
);
create or replace table build.info (
    build_id varchar, inputs varchar, range_from date, range_to date
);
"""


def new_id() -> str:
    """A build id: sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


@dataclass
class Session:
    """State of one invocation. `now` is read once, however often the connection is opened."""

    settings: Settings
    build_id: str = field(default_factory=lambda: os.environ.get("TICKLAKE_BUILD_ID") or new_id())
    now: Pin | None = None
    before: Pin = field(default_factory=dict)
    # A build of news (lake.standing) is told up to where it reads, and which nodes of dbt's graph
    # stand as they are up to there.
    upto: Pin | None = field(default_factory=lambda: json.loads(_told("TICKLAKE_BUILD_PIN")))
    left_out: frozenset[str] = field(
        default_factory=lambda: frozenset(json.loads(_told("TICKLAKE_BUILD_LEFT_OUT")) or ())
    )

    @property
    def layout(self) -> Layout:
        """Where the lake's parts lie."""
        return layout(self.settings)

    def open(self, conn: DuckDBPyConnection) -> None:
        """Give a fresh connection the state tables and the views over pinned bronze."""
        conn.execute(STATE_SQL)
        conn.execute(
            "insert into build.info values (?, ?, ?, ?)",
            [self.build_id, inputs_digest(), self.settings.build_from, self.settings.build_to],
        )
        if self.now is None:
            self.before = dict(conn.execute("select dataset, version from build.pin").fetchall())
            newest = pins.newest(self.layout)
            self.now = newest if self.upto is None else self.upto
            if self.upto is not None and self._is_overtaken(conn):
                self.now, self.left_out = newest, frozenset()
            if any(
                version > self.now.get(name, -1)
                for name, version in self.before.items()
                if name not in speed.TABLES
            ):
                self._forget_all(conn)  # the lake is older than this cache: another lake, or wiped
        first = self.settings.build_from
        pins.create_views(conn, self.layout, self.now, self.before, landed_since=first)

    def begin(self, conn: DuckDBPyConnection) -> None:
        """Work out which parts of bronze and speed are news: the seeds of the dirty set."""
        conn.execute("begin")
        conn.execute(f"delete from audit.dirty where is_open and {IS_SEED}")
        if not conn.execute("select count(*) from build.model_state").fetchall()[0][0]:
            self._all_is_news(conn)
            conn.execute("commit")
            return
        for contract in registry.all_contracts().values():
            name = contract.dataset
            instrument = "instrument_id" if "instrument_id" in contract.names() else "null"
            if contract.partition_by_date:
                source, where = self._event_news(name)
                conn.execute(
                    f"insert into audit.dirty select ?, 'bronze.{name}', instrument, hour, "
                    f"hour + interval 1 hour, false, true from (select distinct {instrument} as "
                    "instrument, make_timestamptz((event_ts_ns // 3600000000000) * 3600000000) "
                    f"as hour from {source} where {where})",
                    [self.build_id],
                )
            else:
                conn.execute(
                    f"insert into audit.dirty select ?, 'bronze.{name}', {instrument}, "
                    "make_timestamptz((event_ts_ns // 3600000000000) * 3600000000), null, "
                    f"false, true from bronze.{name}_fresh where verdict = 'ok' group by all",
                    [self.build_id],
                )
            conn.execute(
                "insert into audit.dirty select ?, 'ledger.commits', null, hour, "
                "hour + interval 1 hour, false, true from (select distinct date_trunc('hour', "
                "committed_at) as hour from ledger.commits where dataset = ? and version > ?)",
                [self.build_id, name, self.before.get(name, -1)],
            )
        self._begin_speed(conn)
        conn.execute("commit")

    def _all_is_news(self, conn: DuckDBPyConnection) -> None:
        """Nothing was built before: one mark per source says so, not one per hour or security."""
        landed = [f"bronze.{name}" for name in registry.all_contracts()]
        for source in [*landed, "ledger.commits", *speed.TABLES]:
            conn.execute(
                "insert into audit.dirty values (?, ?, null, null, null, true, true)",
                [self.build_id, source],
            )

    def _begin_speed(self, conn: DuckDBPyConnection) -> None:
        assert self.now is not None
        for table, spans in speed.news(conn, self.layout, self.before, self.now).items():
            if spans is None:
                conn.execute(
                    "insert into audit.dirty values (?, ?, null, null, null, true, true)",
                    [self.build_id, table],
                )
            for span in spans or ():
                conn.execute(
                    "insert into audit.dirty select ?, ?, null, hour, hour + interval 1 hour, "
                    "false, true from (select unnest(generate_series(?::timestamptz, "
                    "?::timestamptz, interval 1 hour)) as hour)",
                    [self.build_id, table, span.first, span.last],
                )

    def advance(self, conn: DuckDBPyConnection) -> None:
        """The whole graph ran over the whole dirty set: from here on, only news counts."""
        assert self.now is not None
        conn.execute("begin")
        conn.execute("delete from build.pin")
        if self.now:
            conn.executemany("insert into build.pin values (?, ?)", list(self.now.items()))
        conn.execute("update audit.dirty set is_open = false where is_open")
        conn.execute(  # what the last builds touched stays to be looked at
            "delete from audit.dirty where not is_open and build_id not in (select distinct "
            "build_id from audit.dirty order by build_id desc limit 50)"
        )
        conn.execute("commit")

    @property
    def is_ranged(self) -> bool:
        """Does this build keep to a range of days?"""
        return self.settings.build_from is not None

    def _is_overtaken(self, conn: DuckDBPyConnection) -> bool:
        """Did a build in a shell, which waits for nobody, come between the look at what stands and
        this build? What it got on to, or left half done, does not stand any more."""
        assert self.upto is not None
        left = f"select count(*) from audit.dirty where is_open and not {IS_SEED}"
        return bool(conn.execute(left).fetchall()[0][0]) or any(
            version > self.upto.get(name, -1) for name, version in self.before.items()
        )

    def _event_news(self, dataset: str) -> tuple[str, str]:
        if not self.is_ranged:
            return f"bronze.{dataset}_fresh", "verdict = 'ok'"
        first, last = self.settings.build_from, self.settings.build_to
        assert isinstance(first, date) and isinstance(last, date)
        return (
            f"bronze.{dataset}",
            f"event_date >= date '{first.isoformat()}' and event_date < date '{last.isoformat()}'",
        )

    def _forget_all(self, conn: DuckDBPyConnection) -> None:
        conn.execute("delete from build.pin; delete from build.model_state")
        self.before = {}


def _told(variable: str) -> str:
    return os.environ.get(variable) or "null"


def inputs_digest(project: Path = PROJECT) -> str:
    """Digest of everything besides a model's own SQL that decides what it computes."""
    digest = hashlib.sha256(os.environ.get("TICKLAKE_MODELS", "all").encode())
    for name in _INPUTS:
        top = project / name
        for path in sorted(p for p in (top.rglob("*") if top.is_dir() else [top]) if p.is_file()):
            digest.update(path.relative_to(project).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def describe(session: Session, conn: DuckDBPyConnection) -> dict[str, Any]:
    """The pin as a publication record states it."""
    assert session.now is not None
    at = pins.positions(conn, session.now)
    return {
        name: {"version": version, "positions": at.get(name, {})}
        for name, version in json.loads(pins.to_json(session.now)).items()
    }
