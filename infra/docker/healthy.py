#!/usr/bin/env python3
"""Is a service of docker-compose.yml healthy? Exits 0 if it is; else says why and exits 1.

    ticklake-healthy metadatabase | scheduler | dag_processor | triggerer
    ticklake-healthy ingest

Airflow's parts are what its api-server says of them, for `airflow jobs check` takes seconds of a
core each time. The resident holds the lock of every dataset it lands, and the kernel knows who
holds what: looking takes no lock, so it is never in the resident's way.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.request import urlopen

SECONDS = 5.0


def why_not(service: str) -> str | None:
    """What is wrong with the service; None if it is healthy."""
    return _resident() if service == "ingest" else _airflow(service)


def _airflow(part: str) -> str | None:
    tasks_ask = os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    url = tasks_ask.removesuffix("/execution/") + "/api/v2/monitor/health"
    try:
        with urlopen(url, timeout=SECONDS) as answer:
            told = json.load(answer)
    except (OSError, ValueError) as error:
        return f"{url}: {error}"
    status = told.get(part, {}).get("status")
    return None if status == "healthy" else f"{url} says of {part}: {status or 'nothing'}"


def _resident() -> str | None:
    folder = Path(os.environ.get("LAKE_LOCAL") or os.environ["LAKE_URI"]) / "run"
    locks = {path.stat().st_ino: path.name for path in folder.glob("ingest.*.lock")}
    held = _held(Path("/proc/locks").read_text(encoding="ascii").splitlines())
    return None if held & locks.keys() else f"no lock of {folder}/ingest.*.lock is held from here"


def _held(lines: Iterable[str]) -> set[int]:
    """Inodes that processes of this container hold; those that only wait have an arrow.

    A line reads `7: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF`.
    """
    rows = (line.split() for line in lines if "->" not in line)
    return {int(row[5].rpartition(":")[2]) for row in rows if row[1] == "FLOCK"}


def main(arguments: list[str]) -> int:
    """Judge the one service that is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    wrong = why_not(arguments[0])
    if wrong:
        print(wrong, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
