"""Ways to turn a price and a quantity in JSON into decimal columns, and what each costs.

Run: python -m benchmarks.decimals [--records 200000] [--rounds 5]

Each way goes from the records' bytes to two Arrow columns of decimals, and nothing else. Floats are
beside them to compare with: they are wrong (0.1 + 0.2), and cheaper by less than one would think.
"""

import argparse
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median

import msgspec
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.topic import SHAPES, messages
from contracts import registry
from ingestion.decode import decode_singly
from ingestion.template import decode_alike

TRADES = registry.get("trades")
LIMIT = 1 << 20
PRICE, QUANTITY = pl.Decimal(18, 9), pl.Decimal(28, 8)

Records = list[bytes]


class _Objects(msgspec.Struct):
    price: Decimal
    quantity: Decimal


class _Raw(msgspec.Struct):
    price: msgspec.Raw
    quantity: msgspec.Raw


class _Floats(msgspec.Struct):
    price: float
    quantity: float


def objects(records: Records) -> None:
    """A Decimal object per value."""
    decode = msgspec.json.Decoder(_Objects).decode
    rows = [decode(record) for record in records]
    pl.Series([row.price for row in rows], dtype=PRICE).to_arrow()
    pl.Series([row.quantity for row in rows], dtype=QUANTITY).to_arrow()


def scaled(records: Records) -> None:
    """Decimal objects to integers in units of the last decimal, then a cast of the column."""
    decode = msgspec.json.Decoder(_Objects).decode
    rows = [decode(record) for record in records]
    for values, dtype in (
        ([row.price for row in rows], PRICE),
        ([row.quantity for row in rows], QUANTITY),
    ):
        units = [int(value.scaleb(dtype.scale)) for value in values]
        whole = pl.Series(units, dtype=pl.Int64).cast(pl.Decimal(38, 0))
        (whole / 10**dtype.scale).cast(dtype).to_arrow()


def raw(records: Records) -> None:
    """The number's own text out of the parser, converted a column at a time."""
    decode = msgspec.json.Decoder(_Raw).decode
    rows = [decode(record) for record in records]
    for values, dtype in (
        ([bytes(row.price) for row in rows], PRICE),
        ([bytes(row.quantity) for row in rows], QUANTITY),
    ):
        text = pl.Series(values, dtype=pl.Binary).cast(pl.String)
        text.str.to_decimal(scale=dtype.scale).cast(dtype).to_arrow()


def floats(records: Records) -> None:
    """Binary floating point, for comparison only."""
    decode = msgspec.json.Decoder(_Floats).decode
    rows = [decode(record) for record in records]
    pl.Series([row.price for row in rows]).to_arrow()
    pl.Series([row.quantity for row in rows]).to_arrow()


def singly(records: Records) -> None:
    """The strict decoder, each record parsed for itself, all columns."""
    decode_singly(TRADES, records, range(len(records)), LIMIT)


def alike(records: Records) -> None:
    """Records that are alike decoded together, all columns: what landing does."""
    decode_alike(TRADES, records, LIMIT)


WAYS: dict[str, Callable[[Records], None]] = {
    "floats (wrong)": floats,
    "Decimal objects": objects,
    "Decimal objects, scaled integers": scaled,
    "raw text, column at a time": raw,
    "all columns, singly": singly,
    "all columns, alike together": alike,
}


def measure(records: Records, rounds: int) -> dict[str, float]:
    """Median CPU microseconds per record of each way, rounds interleaved."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            began = time.process_time()
            way(records)
            found[name].append(time.process_time() - began)
    return {name: median(times) / len(records) * 1e6 for name, times in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    blocks = messages(SHAPES["clean"], asked.records)
    records = [bytes(value) for block in blocks for value in block.values]
    size = np.mean([len(record) for record in records])
    cost = measure(records, asked.rounds)
    table = Table(title=f"Decoding {len(records):,} trades of {size:.0f} bytes")
    for name in ("", "CPU µs/record", "to raw text"):
        table.add_column(name, justify="right" if name else "left")
    for name, each in cost.items():
        ratio = each / cost["raw text, column at a time"]
        table.add_row(name, f"{each:.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
