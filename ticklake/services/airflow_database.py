"""Where Airflow keeps its database: an SQLite file of its own, or a PostgreSQL server.

PostgreSQL is named by TICKLAKE_AIRFLOW_DATABASE, or by Airflow's own variable where that holds a
PostgreSQL URL. The latter may have been set for another Airflow on this machine, so a database is
used only if it is empty or was made from here: no other's is ever migrated by mistake.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lake.postgres import PostgresError, PostgresUrl, connect, parsed
from lake.settings import SettingsError
from ticklake.services.processes import ServiceError

OURS = "TICKLAKE_AIRFLOW_DATABASE"
AIRFLOWS = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
PARALLELISM = "TICKLAKE_AIRFLOW_PARALLELISM"
FILE = "sqlite"  # value of OURS: the file, whatever AIRFLOWS says

_MARK = """
create table if not exists ticklake_installation (
    home text primary key, airflow_version text, since timestamptz not null default now()
)"""


def server() -> PostgresUrl | None:
    """The server that the environment names; None: an SQLite file.

    Raises ServiceError where TICKLAKE_AIRFLOW_DATABASE is no PostgreSQL URL.
    """
    own, airflows = os.environ.get(OURS, ""), os.environ.get(AIRFLOWS, "")
    if own == FILE:
        return None
    try:
        if own:
            return parsed(own, OURS)
        return parsed(airflows, AIRFLOWS) if airflows.startswith("postgres") else None
    except SettingsError as error:
        raise ServiceError(str(error)) from None


def variables(home: Path) -> dict[str, str]:
    """What Airflow is told of its database, and how many tasks it may run at once.

    SQLite has one writer: more than four tasks wait for each other there.
    """
    url = server()
    if url is None:
        return {
            AIRFLOWS: f"sqlite:///{home}/airflow.db",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": (
                "ticklake.services.airflow_sqlite.CONNECT_ARGS"
            ),
            "AIRFLOW__CORE__PARALLELISM": str(_parallelism(4)),  # 32 idle workers otherwise
        }
    return {
        AIRFLOWS: url.text("psycopg2"),
        f"{AIRFLOWS}_ASYNC": url.asyncpg(),
        "AIRFLOW__CORE__PARALLELISM": str(_parallelism(16)),
        "AIRFLOW__API__WORKERS": "2",
    }


def kept(command: list[str]) -> list[str]:
    """A component's command, started again when a server's absence has ended it; a file is always
    there."""
    if server() is None:
        return command
    return [sys.executable, "-m", "ticklake.services.keeper", *command]


def migrate(home: Path, airflow: list[str], env: Mapping[str, str], say: Callable[[str], None],
            cwd: Path) -> None:  # fmt: skip
    """Bring the database to this version of Airflow; nothing to do where that was done.

    `airflow` is the command that calls Airflow. Raises ServiceError where the database cannot be
    reached, belongs to others, or Airflow refuses.
    """
    wanted, url = version("apache-airflow-core"), server()
    done_before = _reached_file(home) if url is None else _reached_server(url, home)
    if done_before == wanted:
        return
    say("preparing Airflow's database (once)")
    done = subprocess.run(
        [*airflow, "db", "migrate"], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ServiceError(f"Airflow's database cannot be prepared:\n{tail}")
    if url is None:
        _stamp(home).write_text(wanted, encoding="utf-8")
    else:
        sql = "update ticklake_installation set airflow_version = %s where home = %s"
        _on(url, lambda cursor: cursor.execute(sql, [wanted, str(home)]))


def _parallelism(default: int) -> int:
    text = os.environ.get(PARALLELISM) or str(default)
    if not text.isdigit() or not 0 < int(text) <= 512:
        raise ServiceError(f"{PARALLELISM} must be a number of tasks, for example 16: {text}")
    return int(text)


def _stamp(home: Path) -> Path:
    return home / "migrated"


def _reached_file(home: Path) -> str | None:
    """The version of Airflow that the file was brought to; None: it is not there."""
    stamp = _stamp(home)
    both = (home / "airflow.db").exists() and stamp.exists()
    return stamp.read_text(encoding="utf-8") if both else None


def _reached_server(url: PostgresUrl, home: Path) -> str | None:
    """The same of a server's database, which is marked as ours before it is touched."""

    def claim(cursor: Any) -> str | None:
        cursor.execute("select pg_advisory_xact_lock(hashtext('ticklake_installation'))")
        cursor.execute("select tablename from pg_tables where schemaname = current_schema()")
        tables = {name for (name,) in cursor.fetchall()}
        if tables and "ticklake_installation" not in tables:
            raise ServiceError(
                f"{url.setting}: database {url.where} holds tables of others "
                f"({', '.join(sorted(tables)[:3])}, ...); name an empty one (createdb ...), or "
                f"set {OURS}=sqlite to keep to the file"
            )
        cursor.execute(_MARK)
        cursor.execute("select home, airflow_version from ticklake_installation")
        marks = dict(cursor.fetchall())
        if marks and str(home) not in marks:
            raise ServiceError(
                f"{url.setting}: database {url.where} is the Airflow of another lake "
                f"({next(iter(marks))}); name another database, one for each lake"
            )
        if not marks:
            cursor.execute("insert into ticklake_installation (home) values (%s)", [str(home)])
        return marks.get(str(home))

    return _on(url, claim)


def _on(url: PostgresUrl, work: Callable[[Any], str | None]) -> str | None:
    """Do something in one transaction. Raises ServiceError where the server does not let us."""
    import psycopg2

    try:
        with closing(connect(url)) as conn, conn, conn.cursor() as cursor:
            return work(cursor)
    except (PostgresError, psycopg2.Error) as error:
        told = str(error) if isinstance(error, PostgresError) else f"{url.where}: {error}"
        raise ServiceError(f"Airflow's database: {told.strip()}") from None
