"""What may be removed: data files that nobody can still be reading, and log entries that nobody
needs any more.

Kept are the files of every version that was the newest at some time since `since`, and those of
the versions that are named, whatever their age. A file younger than `since` is kept in any case:
its commit may still come.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable

from lake import damage, delta_log
from lake.delta_log import LOG


@dataclass(frozen=True)
class Removable:
    """Files of one table that nobody needs; `bytes` is what the data files take."""

    data: list[Path]
    log: list[Path]
    bytes: int

    def remove(self) -> None:
        """Remove them. Killed half-way, the rest goes next time."""
        for path in [*self.data, *self.log]:
            path.unlink(missing_ok=True)


def removable(
    root: Path, since: datetime, versions: Collection[int], log_until: int | None = None
) -> Removable:
    """What of a table may be removed. `versions` are needed whatever their age.

    Of its log, only entries before `log_until` (None: no limit of its own): others are not yet in
    the ledger.
    """
    with damage.named(root):
        newest = delta_log.newest(root)
        delta_log.check_tail(root, newest)
        base = _newest_at(root, newest, since)
        needed = {version for version in versions if 0 <= version <= newest}
        kept = _kept(root, base, newest, needed)
    data = [
        path
        for path in root.rglob("*.parquet")
        if LOG not in path.parts
        and _is_older(path, since)
        and path.relative_to(root).as_posix() not in kept
    ]
    log = _old_log(root, min([base, *needed]), since, log_until)
    return Removable(data, log, sum(path.stat().st_size for path in data))


def _newest_at(root: Path, newest: int, moment: datetime) -> int:
    """The version that was the newest at a moment, or the oldest of which the log knows."""
    version = newest
    while version > 0 and delta_log.entry(root, version).exists():
        if _is_older(delta_log.entry(root, version), moment):
            return version
        version -= 1
    return version if delta_log.entry(root, version).exists() else min(version + 1, newest)


def _kept(root: Path, base: int, newest: int, needed: Collection[int]) -> set[str]:
    kept: set[str] = set()
    for version in {base, newest, *needed}:
        table = DeltaTable(str(root), version=version)
        kept.update(table.get_add_actions().column("path").to_pylist())
    for version in range(base + 1, newest + 1):
        for file in delta_log.files_of(delta_log.read(root, version), "add"):
            kept.add(unquote(file["path"]))
    return kept


def _old_log(root: Path, oldest: int, since: datetime, until: int | None) -> list[Path]:
    """Entries and checkpoints before the last checkpoint from which `oldest` can be told."""
    whole = [c for c in delta_log.checkpoints(root) if c <= oldest]
    first = min(max(whole, default=0), oldest if until is None else until)
    found = [
        path
        for path in (root / LOG).iterdir()
        if (version := delta_log.version_of(path)) is not None and version < first
    ]
    drafts = [path for path in (root / LOG).glob("*.tmp") if _is_older(path, since)]
    return sorted(found) + drafts


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False
