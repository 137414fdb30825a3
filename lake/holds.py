"""Pins that are being read: maintenance removes no file of theirs, however long a build takes.

A hold is a locked file. The system drops the lock when the process dies, so none is ever stale.
"""

import fcntl
import json
import secrets
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lake.layout import Layout

LEDGER = "ledger.commits"  # the ledger's version in a hold, beside those of bronze


def hold(owner: Any, layout: Layout, pin: Mapping[str, int]) -> None:
    """Hold a pin (dataset -> bronze version) for as long as `owner` lives."""
    path = layout.lock(f"pins/{secrets.token_hex(8)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    json.dump(dict(pin), handle)
    handle.flush()
    weakref.finalize(owner, _release, handle, path)


def held(layout: Layout) -> list[dict[str, int]]:
    """The pins that are held now; what dead processes left is cleared away."""
    pins = []
    for path in layout.lock("pins/any").parent.glob("*.lock"):
        with path.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                content = handle.read()
                if content:  # empty: just made, of a pin that is among the newest
                    pins.append({str(k): int(v) for k, v in json.loads(content).items()})
                continue
            if path.stat().st_size:
                path.unlink(missing_ok=True)
    return pins


def _release(handle: IO[str], path: Path) -> None:
    path.unlink(missing_ok=True)
    handle.close()
