"""ticklake status, sql and doctor: look at what there is."""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lake.settings import Settings, load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(sql)
    app.command()(doctor)


def status(
    json: Annotated[bool, JSON] = False,
    verbose: Annotated[bool, typer.Option(help="say why for each of the last days")] = False,
    refresh: Annotated[
        float | None, typer.Option(min=0.2, help="look again every so many seconds, until Ctrl-C")
    ] = None,
) -> None:
    """What has landed, how fresh and in which condition it is, what is published, what runs."""
    settings = load_settings()
    if refresh is None:
        _status(settings, json, verbose)
        return
    try:
        while True:
            if console.out.is_terminal:
                console.out.clear()
            _status(settings, json, verbose)
            time.sleep(refresh)
    except KeyboardInterrupt:
        return


def _status(settings: Settings, json: bool, verbose: bool) -> None:
    from checks.condition import conditions
    from checks.status import status as look
    from ticklake.commands import condition
    from ticklake.services import stack

    found = look(settings)
    datasets = conditions(settings)
    services = stack.status(settings)
    if json:
        console.as_json({"lake": found, "conditions": datasets, "services": services})
        return
    console.table(
        f"Bronze under {found.root}",
        ["dataset", "version", "ok", "rejected", "units", "last landed", "waits for a build"],
        [
            (d.dataset, d.version, d.ok, d.rejected, d.units, d.last_landed, d.waiting)
            for d in found.datasets
        ],
    )
    if datasets:
        condition.show(datasets, verbose)
    if found.publication is None:
        console.out.print("Nothing is published yet: land data, then `ticklake build`.")
    else:
        console.table(
            f"Publication {found.publication} of {found.published_at}, build {found.build_id}",
            ["table", "kind", "rows"],
            [(t.name, t.kind, t.rows) for t in found.tables],
        )
    console.table(
        "Services",
        ["service", "running", "pid", "MB", "log"],
        [(s.name, s.running, s.pid, s.memory_mb and round(s.memory_mb), s.log) for s in services],
    )


def sql(
    query: Annotated[str, typer.Argument(help="SQL over silver, gold, audit and quarantine")],
    json: Annotated[bool, JSON] = False,
    limit: Annotated[int, typer.Option(help="rows to print")] = 100,
) -> None:
    """Query what is published, read-only."""
    import duckdb

    from lake import lakehouse
    from lake.damage import explained
    from lake.layout import layout

    with lakehouse.connect(layout(load_settings())) as conn:
        try:
            found = conn.execute(query)
            columns = [column[0] for column in found.description or []]
            rows = found.fetchmany(limit)
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise console.stop(str(error), 2) from None
        except duckdb.Error as error:
            raise console.stop(explained(error) or str(error), 2) from None
    if json:
        console.as_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    console.table("", columns, rows)
    if len(rows) == limit:
        console.err.print(f"(the first {limit} rows; --limit for more)")


@dataclass(frozen=True)
class Finding:
    """One thing the doctor looked at. `mend` is empty where all is well."""

    check: str
    found: str
    mend: str = ""


def doctor(json: Annotated[bool, JSON] = False) -> None:
    """Check the environment and say how to mend it; exit 1 if something is wrong."""
    settings = load_settings()
    checks = (_python, _contracts, _folder, _memory, _broker, _publication, _postgres)
    findings = [check(settings) for check in checks]
    if json:
        console.as_json(findings)
    else:
        console.table(
            "Doctor",
            ["check", "found", "what to do"],
            [(f.check, f.found, f.mend or "nothing, it is well") for f in findings],
        )
    if any(finding.mend for finding in findings):
        raise typer.Exit(1)


def _python(_: Settings) -> Finding:
    version = sys.version.split()[0]
    dbt = shutil.which("dbt", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    mend = "" if dbt else "run `make setup`: dbt is not beside this Python"
    return Finding("Python and dbt", f"Python {version}, {dbt or 'no dbt'}", mend)


def _contracts(_: Settings) -> Finding:
    from contracts.registry import all_contracts
    from ingestion.check import ContractsDisabled, refuse_if_disabled

    try:
        refuse_if_disabled()
    except ContractsDisabled as error:
        return Finding("contract checks", "switched off", str(error))
    return Finding("contract checks", f"on, for {', '.join(all_contracts())}")


def _folder(settings: Settings) -> Finding:
    probe = settings.root / ".doctor"
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            "lake folder", f"{settings.root}: {error}", "set LAKE_URI to a writable folder"
        )
    free = shutil.disk_usage(settings.root).free / 2**30
    mend = "" if free > 2 else "free some space: builds stop when the disk is full"
    return Finding("lake folder", f"{settings.root}, {free:.0f} GB free", mend)


def _memory(settings: Settings) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("memory", f"{total:.0f} GB; a build may use {settings.build_memory}")


def _broker(settings: Settings) -> Finding:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    if not settings.kafka_bootstrap:
        return Finding("Kafka", "none wanted: TICKLAKE_KAFKA_BOOTSTRAP is empty")
    client = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    try:
        topics = client.list_topics(timeout=3).topics
    except KafkaException:
        mend = "start the embedded one with `ticklake broker`, or set TICKLAKE_KAFKA_BOOTSTRAP"
        return Finding("Kafka", f"nothing answers at {settings.kafka_bootstrap}", mend)
    return Finding("Kafka", f"{settings.kafka_bootstrap}, {len(topics)} topics")


def _publication(settings: Settings) -> Finding:
    from lake.lakehouse import shows
    from lake.layout import layout
    from lake.records import current

    record, shown = current(layout(settings)), shows(layout(settings))
    if record is None:
        return Finding("publication", "none yet", "")
    if shown != record.number:
        mend = "run `ticklake build`: it puts the newest publication in place"
        return Finding("publication", f"{record.number}, but lakehouse.duckdb shows {shown}", mend)
    return Finding("publication", f"{record.number} of {record.published_at}")


def _postgres(settings: Settings) -> Finding:
    from contextlib import closing

    from lake import postgres_copy
    from lake.postgres import PostgresError, connect, of_settings
    from lake.settings import SettingsError

    if settings.postgres is None:
        return Finding("PostgreSQL", "none is published to: TICKLAKE_POSTGRES is not set")
    try:
        url = of_settings(settings)
        with closing(connect(url)) as conn, conn.cursor() as cursor:
            found = postgres_copy.read(cursor)
    except (PostgresError, SettingsError) as error:
        return Finding("PostgreSQL", str(error), "as it says; docs/postgres.md")
    held = f"publication {found.number}" if found else "no publication yet"
    return Finding("PostgreSQL", f"{url.where}, {held}")
