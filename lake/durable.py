"""Making a local write survive a power cut, and a point at which tests may pull the plug."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path


def sync_file(path: Path) -> None:
    """Flush a file's data and metadata to the disk."""
    _sync(path, os.O_RDONLY)


def sync_folders(folders: Iterable[Path]) -> None:
    """Flush folders, so that the names in them survive too."""
    for folder in sorted(set(folders)):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folders_between(top: Path, leaf: Path) -> list[Path]:
    """`leaf` and its ancestors down from `top`, both included."""
    return [leaf, *(p for p in leaf.parents if p == top or top in p.parents)]


def put_if_absent(path: Path, content: bytes) -> bool:
    """Write a whole file durably under a name nobody has taken. False if it was taken.

    Written beside and linked, so that no reader ever sees half of it and, of two writers,
    exactly one gets True.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f".{path.name}.{os.getpid()}"
    draft.write_bytes(content)
    sync_file(draft)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folders([path.parent])
    return True


_fault_countdown: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Where a test can kill this process: TICKLAKE_FAULT="name" or "name:3" for the third pass.

    Nothing happens without that variable. The kill is SIGKILL: no handler, no clean-up runs.
    """
    wanted = os.environ.get("TICKLAKE_FAULT")
    if not wanted:
        return
    point, _, nth = wanted.partition(":")
    if point != name:
        return
    left = _fault_countdown.setdefault(wanted, int(nth or 1)) - 1
    _fault_countdown[wanted] = left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
