"""Maintenance: small files are put together, logs summed up, and what nobody needs is removed.

Bronze loses no row, a build finds the same news as before, and whoever reads goes on reading: what
was read within the retention, what is published and what a build has pinned stays on the disk.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from contracts import registry
from lake import compaction, delta_log, holds, lakehouse, ledger, retention
from lake.compaction import Group
from lake.delta_table import Table, checkpoint
from lake.durable import fault_point, put_if_absent
from lake.layout import Layout, layout
from lake.locks import Busy, held
from lake.records import Record, current, folder_entry, load
from lake.settings import Settings

log = structlog.get_logger()

CHECKPOINT_AFTER = 10  # entries since the last one


class MaintenanceBusy(RuntimeError):
    """Another process maintains this lake; let it end."""


@dataclass(frozen=True)
class Done:
    """What was done to one table, or would be. `note` says why something was left."""

    table: str
    compacted: int = 0  # files that were put together
    into: int = 0  # files that they became
    rows: int = 0
    checkpoint: bool = False
    removed: int = 0
    removed_bytes: int = 0
    log_entries: int = 0  # files of the log that were removed
    note: str = ""

    @property
    def is_nothing(self) -> bool:
        """Was there nothing to do?"""
        return not (self.compacted or self.checkpoint or self.removed or self.log_entries)


@dataclass(frozen=True)
class _Table:
    """A Delta table of the lake, and versions of it that are needed whatever their age."""

    key: str
    root: Path
    needed: Collection[int]


def maintain(
    settings: Settings,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
    progress: compaction.Progress | None = None,
) -> list[Done]:
    """Compact, checkpoint and clean up every table; `now` (UTC) is for tests.

    Published tables are left alone while a build runs. Raises MaintenanceBusy, damage.Damaged and
    delta_log.LogBroken.
    """
    place = layout(settings)
    since = (now or datetime.now(UTC)) - timedelta(hours=settings.retention_h)
    try:
        with held(place.lock("maintain")):
            if not dry_run:
                ledger.append_new(place)
            done = _compacted(settings, place, dry_run, progress or (lambda *_: None))
            if not dry_run:  # it has seen the new versions: what it has may be forgotten
                ledger.append_new(place)
            return [*_cleaned(place, since, dry_run, done)]
    except Busy as busy:
        raise MaintenanceBusy(f"the lake is being maintained already: {busy}") from busy


def _compacted(
    settings: Settings, place: Layout, dry_run: bool, progress: compaction.Progress
) -> dict[str, Done]:
    """Compact bronze and ledger, and the published tables unless a build runs."""
    done: dict[str, Done] = {}
    moved = False
    for table in [*_landed_tables(place), _ledger(place), _failures(place)]:
        if not delta_log.is_table(table.root):
            continue
        groups = compaction.small_files(table.root, settings.compact_rows)
        done[table.key] = _told(table.key, groups)
        if groups and not dry_run:
            compaction.compact(table.root, groups, settings, progress)
            moved = moved or table.root in (place.ledger, place.failures)
    with ExitStack() as stack:
        republished = False
        busy = _keep_builds_away(stack, place)
        if busy:
            done |= {
                key: Done(key, note=f"not compacted: {busy}") for key in _published_keys(place)
            }
        else:
            found, republished = _published(settings, place, dry_run, progress)
            done |= found
    record = current(place)
    if record is not None and (moved or republished):
        lakehouse.swap(place, record)  # its views name files
    return done


def _published(
    settings: Settings, place: Layout, dry_run: bool, progress: compaction.Progress
) -> tuple[dict[str, Done], bool]:
    """Compact the tables of the current publication, and publish them anew with the same rows."""
    record = current(place)
    done: dict[str, Done] = {}
    if record is None:
        return done, False
    tables = dict(record.tables)
    for key, table in record.tables.items():
        if table.kind != "table":
            continue
        root = place.table(*key.split("."))
        if delta_log.newest(root) != table.version:
            done[key] = Done(key, note="not compacted: a build left it half published, build again")
            continue
        groups = compaction.small_files(root, settings.compact_rows)
        done[key] = _told(key, groups)
        if groups and not dry_run:
            version = compaction.compact(root, groups, settings, progress)
            tables[key] = replace(table, version=version)
    if tables == dict(record.tables):
        return done, False
    return done, _publish_again(place, record, tables)


def _publish_again(place: Layout, record: Record, tables: dict) -> bool:  # type: ignore[type-arg]
    fault_point("maintain.publishing")
    following = replace(
        record,
        number=record.number + 1,
        published_at=datetime.now(UTC).isoformat(),
        tables=tables,
    )
    taken = not put_if_absent(folder_entry(place, following.number), following.to_json())
    if taken:  # a build in a bare shell; the next one rolls the compacted versions back
        log.warning("not published", reason="a build published meanwhile", build=record.build_id)
    return not taken


def _cleaned(
    place: Layout, since: datetime, dry_run: bool, done: dict[str, Done]
) -> Iterator[Done]:
    """Checkpoint and clean every table up, also those that were published once."""
    for table in _tables(place, since):
        if not delta_log.is_table(table.root):
            continue
        one = done.get(table.key, Done(table.key))
        newest = delta_log.newest(table.root)
        is_due = newest - delta_log.last_checkpoint(table.root)[0] > CHECKPOINT_AFTER
        if is_due and not dry_run:
            checkpoint(table.root)
        until = None
        if table.key.startswith("bronze."):
            until = newest + 1 if dry_run else _in_ledger(place, table)
        old = retention.removable(table.root, since, table.needed, until)
        if not dry_run:
            old.remove()
        yield replace(
            one,
            checkpoint=is_due,
            removed=len(old.data),
            removed_bytes=old.bytes,
            log_entries=len(old.log),
        )


def _in_ledger(place: Layout, table: _Table) -> int:
    """The first version that the ledger does not have: before it the log may be forgotten."""
    reached = Table(place.ledger).transaction_version(table.root.name)
    return (reached or 0) + 1


def _tables(place: Layout, since: datetime) -> list[_Table]:
    records = _readable(place, since)
    published: dict[str, set[int]] = {}
    for root in _folders(place):
        published[f"{root.parent.name}.{root.name}"] = set()
    for record in records:
        for key, table in record.tables.items():
            if table.kind == "table":
                published.setdefault(key, set()).add(table.version)
    return [
        *_landed_tables(place, records),
        _ledger(place),
        _failures(place),
        *(_Table(key, place.table(*key.split(".")), needed) for key, needed in published.items()),
    ]


def _landed_tables(place: Layout, records: Sequence[Record] = ()) -> list[_Table]:
    """Bronze tables. A publication shows the quarantine of the versions that it read."""
    pins = holds.held(place)
    return [
        _Table(
            f"bronze.{name}",
            place.bronze(name),
            {r.read[name]["version"] for r in records if name in r.read}
            | {pin[name] for pin in pins if name in pin},
        )
        for name in registry.all_contracts()
    ]


def _ledger(place: Layout) -> _Table:
    pins = holds.held(place)
    return _Table(
        "ledger.commits", place.ledger, {p[holds.LEDGER] for p in pins if holds.LEDGER in p}
    )


def _failures(place: Layout) -> _Table:
    return _Table("ledger.failures", place.failures, ())


def _folders(place: Layout) -> list[Path]:
    return sorted(
        folder
        for schema in ("silver", "gold", "audit")
        for folder in (place.root / schema).glob("*")
        if folder.is_dir()
    )


def _published_keys(place: Layout) -> list[str]:
    record = current(place)
    return [k for k, t in record.tables.items() if t.kind == "table"] if record else []


def _readable(place: Layout, since: datetime) -> list[Record]:
    """The current publication, and those that were current at some time since."""
    record = current(place)
    found: list[Record] = []
    while record is not None:
        found.append(record)
        is_last = datetime.fromisoformat(record.published_at) < since
        before = folder_entry(place, record.number - 1)
        record = None if is_last or not before.exists() else load(place, record.number - 1)
    return found


def _keep_builds_away(stack: ExitStack, place: Layout) -> str:
    """Let no build start until the stack is left; returns the reason where one runs already."""
    try:
        stack.enter_context(held(place.lock("build")))
    except Busy as busy:
        return f"a build runs ({busy})"
    return "a build runs" if holds.held(place) else ""


def _told(key: str, groups: Sequence[Group]) -> Done:
    return Done(
        key,
        compacted=sum(group.files.height for group in groups),
        into=len(groups),
        rows=sum(group.rows for group in groups),
    )
