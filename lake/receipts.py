"""When a delivered unit was first offered, recorded once.

A file has no broker to stamp its rows. Judging "is this event in the future" by the clock of the
attempt would give a retry another verdict than the first try, so the first try writes its clock
down and every later one reads it.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lake.durable import folders_between, put_if_absent, sync_folders
from lake.layout import Layout

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Receipt:
    """The first offer of a unit: under which name, how many bytes, and when (UTC)."""

    unit: str
    name: str
    bytes: int
    received_at: datetime

    @property
    def received_ns(self) -> int:
        """`received_at` in ns since epoch UTC, to the microsecond."""
        since = self.received_at - EPOCH
        return (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds) * 1000


class ReceiptBroken(RuntimeError):
    """A receipt is there but cannot be read, or is another unit's."""


def receive(
    layout: Layout, unit: str, name: str, size: int, now: datetime | None = None
) -> Receipt:
    """The unit's receipt, written now (UTC) if it has none. Of two writers one wins, durably."""
    path = _path(layout, unit)
    if not path.exists():
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        content = {
            "unit": unit,
            "name": name,
            "bytes": size,
            "received_at": moment.isoformat(timespec="microseconds"),
        }
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folders(folders_between(layout.root, path.parent))
        put_if_absent(path, json.dumps(content, indent=1).encode() + b"\n")
    return _read(path, unit)


def _path(layout: Layout, unit: str) -> Path:
    return layout.receipts / f"{unit.replace(':', '.').replace('/', '.')}.json"


def _read(path: Path, unit: str) -> Receipt:
    try:
        content = json.loads(path.read_bytes())
        receipt = Receipt(
            unit=content["unit"],
            name=content["name"],
            bytes=content["bytes"],
            received_at=datetime.fromisoformat(content["received_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ReceiptBroken(f"{path}: not a receipt: {error!r}; restore it from a backup") from None
    if receipt.unit != unit:
        raise ReceiptBroken(f"{path}: is the receipt of {receipt.unit}, not of {unit}")
    return receipt
