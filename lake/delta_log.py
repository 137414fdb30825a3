"""The log of a Delta table, entry by entry: read, and written under a version nobody has taken.

delta-rs replays the whole state of a table for every commit and every look at it, so that its cost
grows with the number of files. A writer needs no more than the version and its own positions.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.durable import sync_file, sync_folders

LOG = "_delta_log"
LAST_CHECKPOINT = "_last_checkpoint"
DRAFT = "_commit_{}.json.tmp"

Action = Mapping[str, Any]

_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_VERSIONED = re.compile(r"(\d{20})\.(json|crc|checkpoint.*\.parquet)")


class LogBroken(RuntimeError):
    """An entry of a log is missing, empty or cut off; the message names it and what to do."""


def entry(root: Path, version: int) -> Path:
    """The log entry of a version."""
    return root / LOG / f"{version:020}.json"


def is_table(root: Path) -> bool:
    """Is there a Delta table at this folder?"""
    log = root / LOG
    return log.is_dir() and any(
        _ENTRY.fullmatch(path.name) or path.name == LAST_CHECKPOINT for path in log.iterdir()
    )


def last_checkpoint(root: Path) -> tuple[int, int]:
    """Version and number of actions of the newest checkpoint; (-1, 0) if there is none."""
    path = root / LOG / LAST_CHECKPOINT
    try:
        found = json.loads(path.read_bytes())
        return int(found["version"]), int(found.get("size", 0))
    except FileNotFoundError:
        return -1, 0
    except (ValueError, KeyError, TypeError) as error:
        raise LogBroken(
            f"{path}: does not say which checkpoint is the last ({error}); delete this file, the "
            "log entries are read instead"
        ) from None


def newest(root: Path) -> int:
    """The newest version: entries are looked for from the last checkpoint on."""
    version = last_checkpoint(root)[0]
    if version < 0:
        return max(versions(root), default=-1)
    while entry(root, version + 1).exists():
        version += 1
    return version


def versions(root: Path) -> list[int]:
    """Versions whose entries are in the log, in their order."""
    found = (_ENTRY.fullmatch(path.name) for path in (root / LOG).iterdir())
    return sorted(int(match[1]) for match in found if match)


def checkpoints(root: Path) -> list[int]:
    """Versions of which there is a checkpoint, in their order."""
    found = (_CHECKPOINT.fullmatch(path.name) for path in (root / LOG).iterdir())
    return sorted({int(match[1]) for match in found if match})


def set_aside_checkpoints(root: Path) -> bool:
    """Take checkpoints out of use that cannot be read; False if there is none to be spared.

    A power cut may leave one with its name and not its bytes. It only sums the entries up: where
    those reach back to the beginning, or to a checkpoint before it, nothing is lost without it.
    """
    kept = [version for version in checkpoints(root) if _is_whole(root, version)]
    broken = set(checkpoints(root)) - set(kept)
    if not broken and _names_checkpoint(root):
        return False
    there = versions(root)
    first = max((v for v in kept if not broken or v < min(broken)), default=-1) + 1
    if not there or not set(range(first, there[-1] + 1)) <= set(there):
        return False
    log = root / LOG
    for path in list(log.iterdir()):
        if _CHECKPOINT.fullmatch(path.name) and version_of(path) in broken:
            path.rename(path.with_name(f"{path.name}.broken"))
    note = log / LAST_CHECKPOINT
    if first > 0:
        rows = sum(pq.read_metadata(p).num_rows for p in _parts(root, first - 1))
        note.write_text(json.dumps({"version": first - 1, "size": rows}))
        sync_file(note)
    else:
        note.unlink(missing_ok=True)
    sync_folders([log])
    return True


def _is_whole(root: Path, version: int) -> bool:
    try:
        return all(pq.read_metadata(path).num_rows > 0 for path in _parts(root, version))
    except (OSError, pa.ArrowInvalid):
        return False


def _parts(root: Path, version: int) -> Iterator[Path]:
    return (root / LOG).glob(f"{version:020}.checkpoint*.parquet")


def _names_checkpoint(root: Path) -> bool:
    """Does the note of the last checkpoint name one, or is there no such note?"""
    try:
        version, _ = last_checkpoint(root)
    except LogBroken:
        return False
    return version < 0 or version in checkpoints(root)


def version_of(path: Path) -> int | None:
    """The version that a file of the log is about; None for one that is about none."""
    found = _VERSIONED.fullmatch(path.name)
    return int(found[1]) if found else None


def read(root: Path, version: int) -> list[dict[str, Any]]:
    """The actions of one entry. Raises LogBroken."""
    path = entry(root, version)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LogBroken(f"{path}: this log entry is missing; {_remedy(root)}") from None
    if not content.strip():
        raise LogBroken(f"{path}: this log entry is empty; {_remedy(root)}")
    actions = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            if line.strip():
                actions.append(json.loads(line))
        except ValueError:
            raise LogBroken(
                f"{path}: this log entry is cut off or garbled in line {number}; {_remedy(root)}"
            ) from None
    return actions


def check_tail(root: Path, last: int) -> None:
    """Raises LogBroken if an entry since the last checkpoint is empty or missing.

    delta-rs takes an empty entry for a commit without content, and its rows for never landed.
    """
    try:
        first = last_checkpoint(root)[0] + 1
    except LogBroken:
        first = min(versions(root), default=0)
    for version in range(first, last + 1):
        path = entry(root, version)
        if not path.exists() or path.stat().st_size == 0:
            read(root, version)


def commit_info(actions: Sequence[Action]) -> dict[str, Any]:
    """What the writer of an entry said of it."""
    return next((dict(a["commitInfo"]) for a in actions if "commitInfo" in a), {})


def put(root: Path, version: int, actions: Sequence[Action]) -> bool:
    """Write an entry whole, under a version nobody has taken. False if it was taken.

    Its bytes are on the disk before it has its name; the name is, once the folder is synced.
    """
    draft = root / LOG / DRAFT.format(secrets.token_hex(16))
    lines = (json.dumps(action, separators=(",", ":")) for action in actions)
    try:
        draft.write_text("\n".join(lines) + "\n", encoding="ascii")
        sync_file(draft)
        os.link(draft, entry(root, version))
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def files_of(actions: Sequence[Action], kind: str) -> Iterator[Action]:
    """The `add` or `remove` actions of an entry."""
    return (action[kind] for action in actions if kind in action)


def _remedy(root: Path) -> str:
    return f"restore it from a backup. `ticklake verify` says what else is wrong under {root}"
