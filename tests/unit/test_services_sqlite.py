"""Two writers on one SQLite file, as Airflow and its command line are."""

import sqlite3
import threading
from pathlib import Path

import pytest

from ticklake.services.airflow_sqlite import CONNECT_ARGS

PATIENCE_S = 5.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file in the mode Airflow uses, with one empty table."""
    path = tmp_path / "airflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table run (id integer)")
    return path


def _another_writes(path: Path, done: threading.Event) -> threading.Thread:
    def write() -> None:
        with sqlite3.connect(path, timeout=PATIENCE_S) as other:
            other.execute("insert into run values (2)")
        done.set()

    return threading.Thread(target=write)


def test_a_plain_connection_is_refused_when_another_writes_within_a_savepoint(
    database: Path,
) -> None:
    done = threading.Event()
    plain = sqlite3.connect(database, timeout=PATIENCE_S)
    plain.execute("SAVEPOINT s")
    plain.execute("select count(*) from run").fetchall()
    writer = _another_writes(database, done)
    writer.start()
    writer.join()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        plain.execute("insert into run values (1)")
    plain.close()


def test_ours_writes_and_the_other_waits_its_turn(database: Path) -> None:
    done = threading.Event()
    ours = sqlite3.connect(database, **CONNECT_ARGS)
    cursor = ours.cursor()
    cursor.execute("SAVEPOINT s")
    cursor.execute("select count(*) from run").fetchall()
    writer = _another_writes(database, done)
    writer.start()
    assert not done.wait(0.2)
    cursor.execute("insert into run values (1)")
    cursor.execute("RELEASE SAVEPOINT s")
    ours.commit()
    writer.join()
    rows = sqlite3.connect(database).execute("select id from run").fetchall()
    assert rows == [(1,), (2,)]
    ours.close()


def test_a_savepoint_within_a_transaction_is_left_alone(database: Path) -> None:
    ours = sqlite3.connect(database, **CONNECT_ARGS)
    cursor = ours.cursor()
    cursor.execute("insert into run values (1)")
    cursor.execute("SAVEPOINT s")
    cursor.execute("insert into run values (2)")
    cursor.execute("ROLLBACK TO SAVEPOINT s")
    ours.commit()
    assert sqlite3.connect(database).execute("select id from run").fetchall() == [(1,)]
    ours.close()
