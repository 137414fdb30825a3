"""Damage to the lake, told in words: which file, what it means, what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Damaged(RuntimeError):
    """A file of the lake is broken or gone; the message names it and what to do."""


@contextmanager
def named(root: Path) -> Iterator[None]:
    """Where reading the table at `root` fails, say which of its files is broken.

    Raises Damaged if that is why; anything else is left as it is.
    """
    try:
        yield
    except Exception as error:
        from lake.verify import inspect

        found = [finding for finding in inspect(root) if finding.is_damage]
        if not found:
            raise
        raise Damaged("\n".join(str(finding) for finding in found)) from error


def check_size(path: str, size: int) -> None:
    """Raises Damaged if a data file is gone, or shorter than the log says.

    A longer one was written over by hand: what is in it the accounts will judge.
    """
    try:
        found = os.stat(path).st_size  # noqa: PTH116 (thousands of them, ten times as fast)
    except FileNotFoundError:
        raise Damaged(f"{path} is gone") from None
    if found < size:
        raise Damaged(f"{path} has {found} bytes, the log says {size}")


# Whose errors may come from a broken file.
_READERS = {"duckdb", "_duckdb", "_internal", "deltalake", "pyarrow", "polars"}


def explained(error: Exception) -> str:
    """Why something failed, if the disk is full or a file of the lake is broken; else empty."""
    from lake.settings import load_settings
    from lake.verify_lake import verify

    settings = load_settings()
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
        return (
            f"the disk is full ({error}); what was being written to {settings.root} was not "
            "committed, and nothing is half done: free space and run the command again"
        )
    if type(error).__module__.partition(".")[0] not in _READERS and not isinstance(error, OSError):
        return ""
    try:
        damage = verify(settings).damage
    except Exception:
        return ""  # what failed first says more
    return "\n".join(["the lake is damaged", *map(str, damage)]) if damage else ""
