"""What is published, copied to a real PostgreSQL: equal, all at once, and only what changed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from typer.testing import CliRunner

from checks.reconcile import Account, reconcile
from lake.settings import PROJECT, Settings, SettingsError, load_settings
from serving.postgres import Copied, CopyRefused, publish_postgres
from tests.desk import Desk, trade
from tests.empty_lake import begin_as_empty
from tests.postgres_server import Postgres, postgres_server
from ticklake.cli import app

CHOICE = "gold.*,audit.*,silver.*,-audit.dirty,-gold.depth_1s,-gold.candles_dense,-silver.sessions"
HOURS = (13, 14, 15)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own."""
    yield from postgres_server()


@dataclass
class Place:
    """A lake, and the database that it publishes to."""

    desk: Desk
    server: Postgres
    database: str

    @property
    def settings(self) -> Settings:
        return load_settings(
            {
                "LAKE_URI": str(self.desk.root),
                "TICKLAKE_POSTGRES": self.server.url(self.database),
                "TICKLAKE_POSTGRES_TABLES": CHOICE,
                "TICKLAKE_KAFKA_BOOTSTRAP": "",
            }
        )

    def copied(self, database: str) -> "Place":
        """The same lake, publishing to a copy of the database."""
        self.server.create(database, self.database)
        return Place(self.desk, self.server, database)

    def publish(self, **how: bool) -> Copied:
        return publish_postgres(self.settings, **how)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.query(sql, self.database)

    def tables(self) -> list[str]:
        found = self.query(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ('gold', 'silver', 'audit') order by 1"
        )
        return [name for (name,) in found]

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table as text, sorted."""
        return {name: _sorted(self.query(f"select * from {name}")) for name in self.tables()}

    def written(self, table: str = "gold.candles_1h") -> dict[Any, set[str]]:
        """Hour -> the transactions that wrote its rows."""
        found: dict[Any, set[str]] = {}
        for hour, transaction in self.query(f"select event_hour, xmin::text from {table}"):
            found.setdefault(hour.hour, set()).add(transaction)
        return found

    def open_lines(self) -> list[Account]:
        return [account for account in reconcile(self.settings) if account.is_open]


def _sorted(rows: list[tuple[Any, ...]]) -> list[str]:
    return sorted(repr(tuple(_told(value) for value in row)) for row in rows)


def _told(value: Any) -> Any:
    return value.timestamp() if hasattr(value, "timestamp") else value


def lake_rows(desk: Desk, tables: list[str]) -> dict[str, list[str]]:
    """The same, as readers of the lake see it."""
    return {name: _sorted(desk.query(f"from {name}")) for name in tables}


def land_day(desk: Desk) -> None:
    """Nine trades of two instruments in three hours."""
    desk.land(
        "trades",
        [
            trade(n, f"{HOURS[n % 3]}:0{n}:00", f"{100 + n}.{n}1", 10 + n, instrument=f"I{n % 2}")
            for n in range(9)
        ],
    )


@pytest.fixture(scope="module")
def first(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A lake with one publication, which the database holds."""
    folder = tmp_path_factory.mktemp("postgres")
    place = Place(Desk(folder / "lake", folder / "dbt"), server, "first")
    server.create("first")
    land_day(place.desk)
    place.desk.build()
    done = place.publish()
    assert done.copied
    return place


def test_every_row_is_as_the_lake_has_it(first: Place) -> None:
    held = first.rows()
    assert {"gold.candles_1m", "gold.candles_1d", "gold.enriched_trades"} <= held.keys()
    assert held == lake_rows(first.desk, list(held))
    assert len(held["silver.trades"]) == 9


def test_decimals_and_nanoseconds_are_exact(first: Place) -> None:
    ((notional, ns),) = first.query(
        "select sum(notional), min(event_ts_ns) from silver.trades where instrument_id = 'I0'"
    )
    expected = sum(Decimal(f"{100 + n}.{n}1") * (10 + n) for n in range(0, 9, 2))
    assert (notional, ns) == (expected, 1_759_410_000_000_000_000)


def test_a_second_publication_of_the_same_writes_nothing(first: Place) -> None:
    before = first.written()
    again = first.publish()
    assert (again.copied, again.rows, again.tables) == (False, 0, ())
    assert first.written() == before


def test_the_accounts_close(first: Place) -> None:
    lines = [a for a in reconcile(first.settings) if a.name.startswith("Postgres = published")]
    assert first.open_lines() == []
    assert {line.scope.split(":")[0] for line in lines} == {
        "publication 2", "gold", "silver", "audit",
    }  # fmt: skip


def test_keys_are_those_of_the_models(first: Place) -> None:
    found = first.query(
        "select conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) "
        "from pg_constraint where connamespace = 'gold'::regnamespace"
    )
    keys = {table: (kind, text) for table, kind, text in found}
    assert keys["gold.enriched_trades"] == ("p", "PRIMARY KEY (trade_key)")
    assert keys["gold.candles_1m"] == (
        "p", "PRIMARY KEY (instrument_id, venue, session_scope, window_start)",
    )  # fmt: skip


def test_a_row_that_is_deleted_or_changed_there_is_found_and_mended(first: Place) -> None:
    first.query("delete from gold.enriched_trades where trade_id = 'T0'")
    first.query("update gold.enriched_trades set price = price + 1e-9 where trade_id = 'T1'")
    found = {line.scope: (line.name, line.difference) for line in first.open_lines()}
    assert [a for a in reconcile(first.settings, quick=True) if a.is_open] == []
    assert found == {
        "gold.enriched_trades 2025-10-02T13": ("Postgres = published", 1),
        "gold.enriched_trades 2025-10-02T14": (
            "Postgres = published, price",
            Decimal("-0.000000001"),
        ),
    }
    assert first.publish().copied is False
    first.query("create view public.mine as select * from gold.candles_1h")
    first.query("drop table gold.candles_1d")
    assert first.publish(full_refresh=True).copied
    first.query("drop view public.mine")
    assert first.open_lines() == []


def test_a_table_that_is_chosen_no_more_is_removed(first: Place) -> None:
    place = first.copied("fewer")
    settings = place.settings.model_copy(update={"postgres_tables": "gold.candles_1h"})
    removed = [t.table for t in publish_postgres(settings).tables if t.how == "removed"]
    assert "gold.enriched_trades" in removed
    assert place.tables() == ["gold.candles_1h"]


def test_another_lakes_database_is_left_alone(first: Place, tmp_path: Path) -> None:
    place = first.copied("taken")
    begin_as_empty(tmp_path / "other", first.desk.target, first.desk.models)
    other = Place(Desk(tmp_path / "other", first.desk.target.parent), first.server, "taken")
    before = place.rows()
    with pytest.raises(CopyRefused, match=r"of another lake, .*--take-over"):
        other.publish()
    assert place.rows() == before
    assert other.publish(take_over=True).copied
    assert other.query("select count(*) from gold.enriched_trades") == [(0,)]
    assert place.publish(take_over=True).copied
    assert place.rows() == before


def test_tables_of_others_are_not_replaced(first: Place) -> None:
    place = Place(first.desk, first.server, "strangers")
    first.server.create("strangers")
    place.query("create schema gold")
    place.query("create table gold.candles_1h as select 1 as mine")
    with pytest.raises(CopyRefused, match=r"tables of others .*gold.candles_1h"):
        place.publish()
    assert place.rows() == {"gold.candles_1h": ["(1,)"]}


@pytest.fixture(scope="module")
def late(first: Place) -> Place:
    """The same, and a late trade and twenty more that are built and not yet in the database."""
    first.desk.land("trades", [trade(90, "14:30:00", "7.5", 3, instrument="I0")])
    first.desk.land("trades", [trade(n, "14:40:00", "9", 1) for n in range(100, 120)])
    first.desk.build()
    return first


def test_being_behind_is_said_and_is_not_open(late: Place) -> None:
    (line,) = [a for a in reconcile(late.settings) if a.scope == "publication 2"]
    assert "1 behind; `ticklake postgres publish` catches up" in line.detail
    assert late.open_lines() == []


def test_late_trades_replace_their_hour_and_leave_the_others(late: Place) -> None:
    place = late.copied("hours")
    before = place.written()
    done = {table.table: table for table in place.publish().tables}
    after = place.written()
    assert {hour for hour in before if before[hour] != after[hour]} == {14}
    assert (done["gold.candles_1h"].how, done["gold.candles_1h"].parts) == ("changed", 1)
    held = place.rows()
    assert held == lake_rows(place.desk, list(held))
    assert place.open_lines() == []


def test_readers_see_one_publication_or_the_other(late: Place) -> None:
    place = late.copied("readers")
    look = (
        "select (select count(*) from gold.enriched_trades), (select sum(trade_count) "
        "from gold.candles_1h where venue = 'ALL' and session_scope = 'all'), "
        "(select count(*) from silver.trades), (select number from ticklake.publication)"
    )
    seen, ended = set(), threading.Event()

    def watch() -> None:
        with closing(psycopg2.connect(place.settings.postgres.get_secret_value())) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                while not ended.is_set():
                    cursor.execute(look)
                    seen.add(cursor.fetchone())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        place.publish()
    finally:
        ended.set()
        watcher.join()
    assert seen | set(place.query(look)) == {(9, 9, 9, 2), (30, 30, 30, 3)}


@pytest.mark.parametrize(
    ("point", "is_there"),
    [
        pytest.param("postgres.deleted", False, marks=pytest.mark.slow),
        pytest.param("postgres.loaded:3", False, marks=pytest.mark.slow),
        ("postgres.stated", False),
        pytest.param("postgres.committed", True, marks=pytest.mark.slow),
    ],
)
def test_killed_between_any_two_steps_nothing_has_happened_or_all(
    late: Place, point: str, is_there: bool
) -> None:
    place = late.copied(point)
    before = place.rows()
    after = lake_rows(place.desk, list(before))
    assert before != after
    killed = _published_in_a_process(place, TICKLAKE_FAULT=point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert place.rows() == (after if is_there else before)
    assert place.publish().copied is not is_there
    assert place.rows() == after
    assert place.open_lines() == []


def _published_in_a_process(place: Place, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "postgres", "publish"],
        cwd=PROJECT,
        env={
            **os.environ,
            "LAKE_URI": str(place.desk.root),
            "TICKLAKE_POSTGRES": place.server.url(place.database),
            "TICKLAKE_POSTGRES_TABLES": CHOICE,
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_that_does_not_let_us_in_is_named_without_the_password(first: Place) -> None:
    server = first.server
    wrong = {
        server.url(first.database).replace(server.password, "Not-The-Password"): "does not let",
        server.url("nowhere"): "createdb nowhere",
        f"postgresql://desk:{server.password}@127.0.0.1:1/x": "is the server up",
        f"mysql://desk:{server.password}@127.0.0.1/x": "must be a URL of a PostgreSQL",
        f"postgresql://desk:{server.password}@127.0.0.1/x?nonsense=1": "are not understood",
    }
    for url, said in wrong.items():
        settings = load_settings({"LAKE_URI": str(first.desk.root), "TICKLAKE_POSTGRES": url})
        with pytest.raises((RuntimeError, SettingsError), match=said) as raised:
            publish_postgres(settings)
        assert server.password not in str(raised.value)
        assert "Not-The-Password" not in str(raised.value)
        assert "TICKLAKE_POSTGRES" in str(raised.value)


def test_a_server_that_is_away_is_an_open_line(first: Place) -> None:
    url = f"postgresql://desk:{first.server.password}@127.0.0.1:1/x"
    settings = load_settings({"LAKE_URI": str(first.desk.root), "TICKLAKE_POSTGRES": url})
    (line,) = [a for a in reconcile(settings) if a.is_open]
    assert line.name == "Postgres = published"
    assert "is the server up" in line.detail


def test_without_the_setting_there_is_no_line_and_no_publication(first: Place) -> None:
    settings = load_settings({"LAKE_URI": str(first.desk.root)})
    assert not [a for a in reconcile(settings) if a.name.startswith("Postgres")]
    with pytest.raises(SettingsError, match="set TICKLAKE_POSTGRES, for example"):
        publish_postgres(settings)


def test_the_command_says_what_it_did_and_nowhere_is_the_password(
    late: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = late.copied("told")
    monkeypatch.setenv("LAKE_URI", str(place.desk.root))
    monkeypatch.setenv("TICKLAKE_POSTGRES", place.server.url("told"))
    monkeypatch.setenv("TICKLAKE_POSTGRES_TABLES", CHOICE)
    first = CliRunner().invoke(app, ["postgres", "publish", "--json"])
    again = CliRunner().invoke(app, ["postgres", "publish", "--json"])
    told = json.loads(first.stdout)
    assert (told["publication"], told["copied"], told["standing"]) == (3, True, len(place.tables()))
    assert {t["how"] for t in told["tables"]} == {"changed"}
    assert json.loads(again.stdout)["copied"] is False
    shown = first.output + again.output + place.server.log()
    assert place.server.password not in shown


def test_values_of_every_type_arrive_as_they_are(server: Postgres) -> None:
    from adbc_driver_postgresql import dbapi

    from lake.postgres_copy import Cut, Part
    from serving import postgres_tables as tables
    from serving.postgres_plan import Wanted, columns_of

    url = server.create("types")
    with duckdb.connect() as conn, dbapi.connect(url) as connection:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute("create schema gold")
        conn.execute(
            "create table gold.t as select "
            "99999999999999999999999999.999999999999::decimal(38, 12) as largest, "
            "-0.000000000001::decimal(38, 12) as smallest, 0.1::decimal(18, 9) as tenth, "
            "9223372036854775807::bigint as ns, 0.1::double as ratio, "
            "timestamptz '1969-12-31 23:59:59.999999+00' as moment, date '0001-01-01' as day, "
            "'a' || chr(0) || 'b' as text, ['x', null, 'y,\"{z}'] as tags, true as flag, "
            "null::varchar as nothing, 7::hugeint as huge"
        )
        table = Wanted("gold.t", columns_of(conn, "gold.t"), Cut(), "", {"all": Part(1, "")})
        with connection.cursor() as cursor:
            shape = tables.shape_of(table, (), False, 150000)
            tables.make(cursor, "gold.t", shape, "t")
            assert tables.load(cursor, conn, table, ["all"], "t", lambda *_: None) == 1
        connection.commit()
    ((row),) = server.query("select *, moment at time zone 'UTC' from gold.t", "types")
    assert row[:5] == (
        Decimal("99999999999999999999999999.999999999999"), Decimal("-0.000000000001"),
        Decimal("0.1"), 2**63 - 1, 0.1,
    )  # fmt: skip
    assert str(row[-1]) == "1969-12-31 23:59:59.999999"
    assert (str(row[6]), row[7]) == ("0001-01-01", "a\N{REPLACEMENT CHARACTER}b")
    assert row[8:12] == (["x", None, 'y,"{z}'], True, None, "7")
