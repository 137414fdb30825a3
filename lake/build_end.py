"""The end of a dbt run: may its tables be published, and may the pin advance?"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from datetime import time as clock
from typing import Any

import structlog
from duckdb import DuckDBPyConnection

from lake import lakehouse
from lake.durable import put_if_absent
from lake.files import literal
from lake.publish import publish
from lake.published_table import Model
from lake.records import current
from lake.session import Session, describe

log = structlog.get_logger()

GOOD = {"success", "pass", "warn", "no-op"}
DIRTY = Model("audit", "dirty", "table")


@dataclass(frozen=True)
class Outcome:
    """What a run came to; kept as a file that `ticklake build` and Airflow read."""

    build_id: str
    published: bool
    publication: int | None
    advanced: bool
    reason: str
    open_accounts: Sequence[Mapping[str, Any]] = ()
    cpu_seconds: float = 0.0  # of publishing


def end(session: Session, conn: DuckDBPyConnection, request: Mapping[str, Any]) -> Outcome:
    """Publish and advance the pin as far as the results allow, and write the outcome down.

    `request` comes from dbt: command, results [{id, status}], selected ids, and the graph's
    models {id, schema, name, kind, ...} and tests {id, severity, parents}.
    """
    started = time.process_time()
    outcome = _outcome(session, conn, request)
    outcome = replace(outcome, cpu_seconds=round(time.process_time() - started, 3))
    path = session.layout.local / "run" / "builds" / f"{session.build_id}.json"
    put_if_absent(path, json.dumps(asdict(outcome)).encode())
    log.info("build", **asdict(outcome))
    return outcome


def _outcome(session: Session, conn: DuckDBPyConnection, request: Mapping[str, Any]) -> Outcome:
    failed = [r["id"] for r in request["results"] if r["status"] not in GOOD]
    last = current(session.layout)
    number = last.number if last else None
    if request["command"] != "build":
        return Outcome(session.build_id, False, number, False, "only `dbt build` publishes")
    if failed:
        shown = ", ".join(sorted(failed)[:3])
        reason = f"{len(failed)} models or tests failed ({shown}): readers keep what they had"
        return Outcome(session.build_id, False, number, False, reason, open_accounts(conn))
    ran = {r["id"] for r in request["results"]}
    untested = _untested(request, ran)
    if untested:
        reason = f"invariant tests were left out: {', '.join(sorted(untested)[:3])}"
        return Outcome(session.build_id, False, number, False, reason)
    stands = ran | session.left_out
    whole = not session.is_ranged and all(
        node["id"] in stands for node in [*request["models"], *request["tests"]]
    )
    hours = _hours(session)
    published = [m for m in request["models"] if m["published"]]
    models = [_model(m, hours) for m in published if m["id"] in ran]
    read = describe(session, conn)
    pin = read if whole else (last.pin if last else {})
    record = publish(
        conn,
        session.layout,
        models,
        build_id=session.build_id,
        read=read,
        pin=pin,
        alongside=[DIRTY],
        all_models=[f"{m['schema']}.{m['name']}" for m in published] if whole else None,
    )
    lakehouse.refresh(session.layout)
    if whole:
        session.advance(conn)
    reason = "published" if record else "nothing changed"
    return Outcome(
        session.build_id, record is not None, record.number if record else number, whole, reason
    )


def open_accounts(conn: DuckDBPyConnection, most: int = 200) -> list[dict[str, Any]]:
    """Lines of the account tables that do not close, as {table, line}."""
    found: list[dict[str, Any]] = []
    tables = conn.execute(
        "select table_name, list(column_name) from information_schema.columns "
        "where table_schema = 'audit' and table_name like 'account\\_%' escape '\\' group by 1"
    ).fetchall()
    for table, columns in tables:
        differences = [c for c in columns if c.endswith("difference")]
        wrong = [f"{c} <> 0" for c in differences]
        wrong += ["not has_right_positions"] if "has_right_positions" in columns else []
        rows = conn.execute(
            f"select to_json(a)::varchar from audit.{table} as a where {' or '.join(wrong)} "
            f"limit {most}"
        ).fetchall()
        found += [{"table": table, "line": json.loads(line)} for (line,) in rows]
    return found


def _untested(request: Mapping[str, Any], ran: set[str]) -> list[str]:
    """Invariant tests of the models that ran which did not run themselves."""
    rebuilt = {m["id"] for m in request["models"] if m["id"] in ran}
    return [
        test["id"]
        for test in request["tests"]
        if test["severity"] == "error"
        and test["parents"]
        and set(test["parents"]) <= rebuilt
        and test["id"] not in ran
    ]


def _hours(session: Session) -> tuple[str, ...]:
    """The parts of a range's hours: a build of a range compares all of them with what is published,
    so that it mends files that no longer hold what was built."""
    first, last = session.settings.build_from, session.settings.build_to
    if first is None or last is None:
        return ()
    begin = datetime.combine(first, clock())
    hours = int((last - first).total_seconds()) // 3600
    return tuple(f"{begin + timedelta(hours=n):%Y-%m-%dT%H}" for n in range(hours))


def _model(node: Mapping[str, Any], range_hours: tuple[str, ...] = ()) -> Model:
    """A published table is cut by hour where it has one, else into sixteen parts by key.

    `range_hours` are parts of tables cut by hour that are compared in any case.
    """
    by: Sequence[str] = node["by"]
    hours = [column for column in by if column.endswith("_hour")]
    part, dirty_part = literal("all"), None
    if hours:
        part = f"strftime({hours[0]}, '%Y-%m-%dT%H')"
        dirty_part = "strftime(hour, '%Y-%m-%dT%H')"
    elif node.get("is_touched") and not by:
        dirty_part = part
    elif by:
        part = f"substr(md5({by[0]}), 1, 1)"
        dirty_part = "substr(md5(instrument_id), 1, 1)"
    return Model(
        node["schema"],
        node["name"],
        node["kind"],
        part,
        dirty_part,
        sql=node["sql"],
        also=range_hours if hours else (),
        hour=hours[0] if hours else "",
    )
