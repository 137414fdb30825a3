"""The environment Airflow runs in here: its settings, its folder, its log-in.

Everything is set by environment variables; the `airflow.cfg` that Airflow writes into its home
only keeps the secrets it made on its first start.
"""

import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.services import airflow_database
from ticklake.services.processes import ServiceError

if TYPE_CHECKING:
    from lake.settings import Settings

REPO = Path(__file__).resolve().parents[2]
USER = "desk"
HOST = "127.0.0.1"
BY_THE_CLOCK = "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"  # False: runs by hand and backfills only
PASSWORD = "TICKLAKE_AIRFLOW_PASSWORD"


@dataclass(frozen=True, slots=True)
class LogIn:
    """Where to go and as whom. `source` says where the password came from; repr hides it."""

    url: str
    user: str
    password: str = field(repr=False)
    source: str


def port() -> int:
    """The port of Airflow's interface: TICKLAKE_AIRFLOW_PORT, 8080 unless set."""
    text = os.environ.get("TICKLAKE_AIRFLOW_PORT", "8080")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ServiceError(f"TICKLAKE_AIRFLOW_PORT must be a port number, for example 8080: {text}")
    return int(text)


def home(settings: "Settings") -> Path:
    """Airflow's own folder: its database, its secrets, its logs."""
    return settings.local / "airflow"


def command(*arguments: str) -> list[str]:
    """A command of Airflow's, run by this very interpreter."""
    return [sys.executable, "-m", "airflow", *arguments]


def environment(settings: "Settings") -> dict[str, str]:
    """The environment of every Airflow process here, also for a call of its command line.

    AIRFLOW variables of the caller are dropped, but for BY_THE_CLOCK: those of another installation
    on this machine must not lead us astray; which database is used, `airflow_database` says. What
    holds a password and is for `up` alone is dropped: tasks have no use for it.
    Raises ServiceError where contracts are switched off, or the database's URL is none.
    """
    from lake.settings import environment_of

    _refuse_without_contracts()
    inherited = {
        name: value
        for name, value in environment_of(settings).items()
        if not (name.startswith("AIRFLOW_") or name in (PASSWORD, airflow_database.OURS))
        or name == BY_THE_CLOCK
    }
    tools = str(Path(sys.executable).parent)
    return {
        **inherited,
        **_airflow_variables(home(settings), port()),
        "PATH": os.pathsep.join([tools, inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(REPO), *_python_path(inherited)]),
        "PYTHONUNBUFFERED": "1",
    }


def log_in(settings: "Settings") -> LogIn:
    """The log-in of the desk; the password is made once where TICKLAKE_AIRFLOW_PASSWORD is unset.

    Airflow's simple auth manager reads it from `passwords.json`, which only we can read.
    """
    path = home(settings) / "passwords.json"
    given = os.environ.get(PASSWORD)
    kept = _kept_password(path)
    password = given or kept or secrets.token_urlsafe(12)
    if password != kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({USER: password}, file)
    source = PASSWORD if given else str(path)
    return LogIn(f"http://{HOST}:{port()}", USER, password, source)


def _refuse_without_contracts() -> None:
    # Judged by the environment that is handed on: what pandera made of it in this process does
    # not matter. It reads these three words as on and everything else as off.
    enabled = os.environ.get("PANDERA_VALIDATION_ENABLED", "True") in {"true", "True", "1"}
    if not enabled or os.environ.get("PANDERA_VALIDATION_DEPTH") == "SCHEMA_ONLY":
        raise ServiceError(
            "PANDERA_VALIDATION_ENABLED or PANDERA_VALIDATION_DEPTH switches the contracts off; "
            "unset both and start again"
        )


def _airflow_variables(where: Path, on_port: int) -> dict[str, str]:
    url = f"http://{HOST}:{on_port}"
    return {
        "AIRFLOW_HOME": str(where),
        **airflow_database.variables(where),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).parent / "airflow_plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(where / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": HOST,  # 0.0.0.0 otherwise
        "AIRFLOW__API__PORT": str(on_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # a task's end is noticed at once
        # Runs queued before the server listens would fail with the defaults.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "8",
        # Seconds that a failed task has for its note: on a busy machine 20 were seen not to do.
        "AIRFLOW__CORE__TASK_SUCCESS_OVERTIME": "60",
        # Seconds after which a task that died with the machine is tried again, not 300.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
    }


def _python_path(inherited: dict[str, str]) -> Sequence[str]:
    return [entry for entry in inherited.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _kept_password(path: Path) -> str | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))[USER]
    except (OSError, ValueError, KeyError):
        return None
    return str(kept)
