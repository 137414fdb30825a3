"""PostgreSQL itself, one server in a folder, with passwords: for what a stand-in cannot show.

Its programs are Debian's. It runs as the user `postgres`, since it refuses to be root.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
import pytest

VERSIONS = Path("/usr/lib/postgresql")
USER = "desk"
START_SECONDS = 30.0


class Postgres:
    """A server of one's own; `with Postgres() as server:` makes, starts and removes it.

    Listens on 127.0.0.1 alone and lets nobody in without the password (SCRAM).
    """

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(12)
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ticklake-postgres-"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", driver: str = "postgresql") -> str:
        """A URL of a database, with its password."""
        return f"{driver}://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        given = self.folder / "password"
        given.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.folder, given):
                shutil.chown(path, "postgres", "postgres")
        _run_as_postgres(
            [_program("initdb"), "--pgdata", self._data, "--username", USER, "--auth",
             "scram-sha-256", "--pwfile", given, "--encoding", "UTF8", "--locale", "C",
             "--no-sync"]
        )  # fmt: skip
        given.unlink()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it on what its folder holds; returns when it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._data, "-p", str(self.port),
                 "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}",
                 "-c", "fsync=off", "-c", "log_statement=ddl"],
                stdout=log, stderr=log, user=_user(), cwd=self.folder,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.query("select 1")
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(
                        f"PostgreSQL does not answer: {error}\n{self.log()}"
                    ) from None
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT throws everybody out, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database, as a copy of another; returns its URL."""
        self.query(f'create database "{database}" template "{template}"')
        return self.url(database)

    def query(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of a query, as the owner; empty where it gives none."""
        conn = psycopg2.connect(self.url(database), connect_timeout=5)
        try:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            conn.close()

    def log(self) -> str:
        """What the server wrote."""
        return (self.folder / "server.log").read_text(errors="replace")


def postgres_server() -> Iterator[Postgres]:
    """For fixtures: a server, or the test is skipped with the reason."""
    require_postgres()
    with Postgres() as server:
        yield server


@cache
def require_postgres() -> None:
    """Install PostgreSQL where it can be; skip the test, with the reason, where it cannot."""
    if _newest() is not None:
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("no PostgreSQL here: install Debian's package postgresql")
    done = subprocess.run(
        ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or _newest() is None:
        pytest.skip(f"no PostgreSQL here: apt-get install postgresql: {done.stderr[-500:]}")


def _newest() -> Path | None:
    found = [path.parent for path in VERSIONS.glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _program(name: str) -> Path:
    folder = _newest()
    assert folder is not None
    return folder / name


def _user() -> str | None:
    return "postgres" if os.getuid() == 0 else None


def _run_as_postgres(command: list[Any]) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        user=_user(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
