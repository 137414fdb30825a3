"""A handle that commits to a Delta table, at a cost that does not grow with the table.

delta-rs takes in the whole state of a table for a commit. To append, no more is needed than the
version, the positions, and what others have committed since; that is read entry by entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lake import delta_log
from lake.delta_log import LAST_CHECKPOINT, LOG, Action
from lake.durable import sync_file, sync_folders

# A checkpoint costs as much as the table has files: the more it has, the rarer it is made.
CHECKPOINT_AFTER, CHECKPOINT_SHARE = 50, 40

MAX_RETRIES = 1000  # lost races for a version; each means that another writer got on


class Table:
    """A handle that commits: it knows the version, the positions, and nothing that grows.

    What it is asked beyond that a snapshot of exactly its version answers, read when asked for.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._adopt(DeltaTable(str(root)))
        self.partition_columns = list(self._opened.metadata().partition_columns)
        self._plan_checkpoint()

    def _adopt(self, opened: DeltaTable) -> None:
        delta_log.check_tail(self.root, opened.version())
        self._opened = self._snapshot = opened
        self._version = int(opened.version())
        self._moved: dict[str, int | None] = {}

    def version(self) -> int:
        """The version that this handle has seen."""
        return self._version

    def transaction_version(self, app_id: str) -> int | None:
        """Number of the last application transaction of an id, as of this handle's version."""
        if app_id not in self._moved:
            if not self._stands():
                self._catch_up(Conflict(frozenset(self._moved), frozenset()))
            self._moved[app_id] = self._opened.transaction_version(app_id)
        return self._moved[app_id]

    def snapshot(self) -> DeltaTable:
        """The table at this handle's version."""
        if self._snapshot.version() != self._version:
            self._snapshot = DeltaTable(str(self.root), version=self._version)
        return self._snapshot

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.snapshot(), name)

    def update_incremental(self) -> None:
        """See what others have committed."""
        if not self._stands():
            self._adopt(DeltaTable(str(self.root)))
        while delta_log.entry(self.root, self._version + 1).exists():
            self._follow(delta_log.read(self.root, self._version + 1))

    def put(self, actions: Sequence[Action], checks: "Conflict") -> int:
        """Commit the actions on top of whatever does not conflict with them.

        Raises deltalake's CommitFailedError if another's commit since this handle's version does.
        """
        for _ in range(MAX_RETRIES):
            if not self._stands():
                self._catch_up(checks)
            if delta_log.put(self.root, self._version + 1, actions):
                if self._stands():
                    self._follow(actions)
                    return self._version
                delta_log.entry(self.root, self._version + 1).unlink()
                continue
            theirs = delta_log.read(self.root, self._version + 1)
            checks.judge(theirs, self._version + 1)
            self._follow(theirs)
        raise CommitFailedError(f"{self.root}: {MAX_RETRIES} other commits came first")

    def checkpoint_if_due(self) -> None:
        """Sum the log up, where so much was written since the last time that it pays."""
        if self._version < self._next_checkpoint:
            return
        self._plan_checkpoint()  # another writer may have done it
        if self._version >= self._next_checkpoint:
            checkpoint(self.root)
            self._plan_checkpoint()

    def _stands(self) -> bool:
        """Is the log still there from this handle's version on?

        Maintenance removes old entries, oldest first. A handle that slept for days must not take
        the number of a removed entry for a free one: nobody would read what it puts there.
        """
        if delta_log.entry(self.root, self._version).exists():
            return True
        return delta_log.last_checkpoint(self.root)[0] == self._version

    def _catch_up(self, checks: "Conflict") -> None:
        """Go on from the newest version where entries in between are gone, if nothing conflicts."""
        newest = DeltaTable(str(self.root))
        moved = [
            app
            for app in checks.transactions
            if app not in self._moved or self._moved[app] != newest.transaction_version(app)
        ]
        if moved or checks.removed or newest.schema() != self._opened.schema():
            raise CommitFailedError(
                f"Concurrent transaction failed: {self.root} is at version {newest.version()}, "
                f"this handle at {self._version}; meanwhile others moved {moved or 'its files'}"
            )
        self._adopt(newest)

    def _follow(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if "txn" in action:
                self._moved[action["txn"]["appId"]] = int(action["txn"]["version"])
        self._version += 1

    def _plan_checkpoint(self) -> None:
        version, size = delta_log.last_checkpoint(self.root)
        self._next_checkpoint = version + max(CHECKPOINT_AFTER, size // CHECKPOINT_SHARE)


@dataclass(frozen=True)
class Conflict:
    """What another's commit must not have done to what is about to be committed."""

    transactions: frozenset[str]
    removed: frozenset[str]

    def judge(self, theirs: Sequence[Action], version: int) -> None:
        """Raises CommitFailedError if the commit of this version, by another, is in the way."""
        for action in theirs:
            if "txn" in action and action["txn"]["appId"] in self.transactions:
                raise CommitFailedError(
                    f"Concurrent transaction failed: version {version} moved "
                    f"{action['txn']['appId']} to {action['txn']['version']}"
                )
            if "metaData" in action or "protocol" in action:
                raise CommitFailedError(f"Metadata changed since last commit, in version {version}")
            if "remove" in action and action["remove"]["path"] in self.removed:
                raise CommitFailedError(
                    f"version {version} has already removed {action['remove']['path']}"
                )


def checkpoint(root: Path) -> int:
    """Sum the log of a table up in a checkpoint, durably; returns its version."""
    table = DeltaTable(str(root))
    delta_log.check_tail(root, table.version())
    table.create_checkpoint()
    log = root / LOG
    for path in log.glob(f"{table.version():020}.checkpoint*.parquet"):
        sync_file(path)
    sync_file(log / LAST_CHECKPOINT)
    sync_folders([log])
    return int(table.version())
