"""The AIG day of 2013-10-08 in an order that a feed might have: every twentieth print arrives late.

Row i of the file (from 0) arrives at its ms, and where i is a multiple of 20 by 7919 i mod 6000 ms
later. The row number is the trade's id and sequence; sale conditions are left out.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
TRADES = Path(REAL_DATA or "") / "lean" / "lean_aig_20131008_tick_trade.zip"
MIDNIGHT_MS = 1_381_204_800_000  # 2013-10-08T00:00 in New York (UTC-4)
AT_ONCE = 15_000


def batches() -> list[list[dict[str, Any]]]:
    """The day's 43,342 trades on the wire, in the order of their arrival."""
    with zipfile.ZipFile(TRADES) as archive:
        lines = archive.read(archive.namelist()[0]).decode().split()
    arrivals = []
    for i, line in enumerate(lines):
        ms, price, size, *_ = line.split(",")
        arrives = int(ms) + (7919 * i % 6000 if i % 20 == 0 else 0)
        arrivals.append((arrives, _trade(i, MIDNIGHT_MS + int(ms), price, size)))
    arrivals.sort(key=lambda arrival: arrival[0])
    rows = [row for _, row in arrivals]
    return [rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE)]


def _trade(i: int, ms: int, price: str, size: str) -> dict[str, Any]:
    return {
        "tradeId": str(i),
        "sequence": i,
        "instrumentId": "AIG",
        "price": f"{int(price) / 10_000:.4f}",
        "quantity": int(size),
        "timestamp": ms,
        "buySellIndicator": None,
    }
