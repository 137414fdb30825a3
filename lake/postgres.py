"""A PostgreSQL server that a setting names: its URL judged, a connection, errors one can act on.

The URL holds a password: no message, log or repr here shows it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lake.settings import Settings, SettingsError

if TYPE_CHECKING:
    from sqlalchemy import URL

CONNECT_SECONDS = 10
_SCHEMES = {"postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"}
EXAMPLE = "postgresql://user:password@host:5432/database"


class PostgresError(RuntimeError):
    """A server cannot be used; the message says which setting names it and what to do next."""


@dataclass(frozen=True)
class PostgresUrl:
    """A database on a server. `setting` is the variable that names it; repr hides the password."""

    setting: str
    _url: "URL" = field(repr=False)

    @property
    def where(self) -> str:
        """Host, port and database, to show."""
        return f"{self._url.host or 'local socket'}:{self._url.port or 5432}/{self._url.database}"

    @property
    def user(self) -> str:
        """The role to log in as; empty where the URL names none."""
        return self._url.username or ""

    def text(self, driver: str = "") -> str:
        """The whole URL, with its password, e.g. for `driver` "psycopg2" of SQLAlchemy."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return self._url.set(drivername=scheme).render_as_string(hide_password=False)

    def asyncpg(self) -> str:
        """The URL for asyncpg, which has its own name for `sslmode` and refuses what else libpq
        takes."""
        modes = {"ssl": mode} if (mode := self._url.query.get("sslmode")) else {}
        url = self._url.set(drivername="postgresql+asyncpg", query=modes)
        return url.render_as_string(hide_password=False)


def parsed(text: str, setting: str) -> PostgresUrl:
    """The URL that a setting holds. Raises SettingsError, without showing it, where it is none."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in _SCHEMES or not url.database:
        raise SettingsError(
            f"{setting} must be a URL of a PostgreSQL database, for example {EXAMPLE}; characters "
            "like @ : / in the password are written %40 %3A %2F"
        )
    return PostgresUrl(setting, url)


def of_settings(settings: Settings) -> PostgresUrl:
    """The database that is published to. Raises SettingsError where none is named."""
    if settings.postgres is None:
        raise SettingsError(
            f"no PostgreSQL is published to; set TICKLAKE_POSTGRES, for example to {EXAMPLE}"
        )
    return parsed(settings.postgres.get_secret_value(), "TICKLAKE_POSTGRES")


def connect(url: PostgresUrl) -> Any:
    """A connection of psycopg2. Raises PostgresError saying what is in the way."""
    try:
        import psycopg2
    except ImportError as error:
        raise PostgresError(
            f"{url.setting} names PostgreSQL, and its driver is missing: "
            "pip install psycopg2-binary, or `make setup`"
        ) from error
    try:
        return psycopg2.connect(url.text(), connect_timeout=CONNECT_SECONDS)
    except psycopg2.ProgrammingError:  # its message may show the URL
        raise PostgresError(
            f"{url.setting}: the server's options in the URL (after the ?) are not understood; "
            f"the shortest form is {EXAMPLE}"
        ) from None
    except psycopg2.OperationalError as error:
        raise PostgresError(f"{url.setting}, {url.where}: {_explained(str(error), url)}") from None


def _explained(said: str, url: PostgresUrl) -> str:
    """What the server or the library said, in its last line, and what to do."""
    said = said.strip().splitlines()[-1].strip() if said.strip() else "no answer"
    lower = said.lower()
    if "password" in lower or "pg_hba" in lower or "authentication" in lower:
        return f"does not let user {url.user!r} in ({said}); correct user or password in the URL"
    if "does not exist" in lower and "database" in lower:
        return f"{said}; make it: createdb {url._url.database}"
    if "starting up" in lower or "shutting down" in lower:
        return f"{said}; try again in a moment"
    return f"does not answer ({said}); is the server up, and host and port right?"
