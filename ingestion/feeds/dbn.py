"""Databento Binary Encoding: a file of one schema as typed columns, a bounded chunk at a time.

What the encoding itself fixes is put right here, so that a mapping need not say it: prices count
1e-9, times are ns since epoch UTC, an undefined price, time or size is null. Beside the record's
own fields there are `symbol` (by the file's mappings, of the day), `publisher`, `venue`, `schema`
and `is_doubtful` (flags: the receive time or the book may be wrong).
"""

from collections.abc import Collection, Iterator
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import polars as pl

from ingestion.batch import Decoded
from ingestion.feeds.binding import Bound
from ingestion.feeds.convert import to_canonical
from ingestion.feeds.dbn_records import RecordReader, Records
from ingestion.feeds.mapping import FileRefused
from ingestion.feeds.typed import units_to_decimal

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"DBN"
HEAD = 8  # magic, version, length of the metadata
PRICE = pl.Decimal(38, 9)
DAY_NS = 86_400_000_000_000
DERIVED = ("symbol", "publisher", "venue", "schema", "is_doubtful")
_LETTERS = pl.Series([chr(code) for code in range(256)])


class DbnFile:
    """An open DBN stream of one schema. Raises FileRefused where it is none of `schemas`."""

    def __init__(self, stream: BinaryIO, schemas: Collection[str], label: str) -> None:
        from databento.common.constants import SCHEMA_STRUCT_MAP
        from databento.common.symbology import InstrumentMap
        from databento_dbn import RType, Schema

        self._stream = stream
        self._label = label
        metadata = self._metadata()
        self.schema = str(metadata.schema or "a mix of schemas")
        if self.schema not in schemas:
            taken = ", ".join(schemas)
            raise FileRefused(f"{label}: holds {self.schema}; this feed takes {taken}")
        schema = Schema.from_str(self.schema)
        struct = SCHEMA_STRUCT_MAP[schema]
        fields = [*struct._dtypes, *([("ts_out", "u8")] if metadata.ts_out else [])]
        self._dtype = np.dtype(fields)
        self._prices = set(struct._price_fields)
        self._rtype = int(RType.from_schema(schema))
        self._symbols = InstrumentMap()
        self._symbols.insert_metadata(metadata)

    @property
    def fields(self) -> list[str]:
        """Names of the columns that there are."""
        own = [name for name in self._dtype.names or () if name not in ("length", "rtype")]
        return [*own, *DERIVED]

    def chunks(self, skip: int, rows: int) -> Iterator[tuple[int, Records]]:
        """(index of the first record, at most `rows` records), leaving the first `skip` out."""
        index = 0
        reader = RecordReader(self._stream, self._dtype.itemsize, self._rtype, self._label)
        for records in reader.chunks(rows):
            late = max(skip - index, 0)
            if late < len(records):
                yield index + late, records.behind(late)
            index += len(records)

    def decode(self, bound: Bound, records: Records) -> Decoded:
        """Records to the contract's columns."""
        places, rows = records.good(self._dtype)
        cells = {
            column: self._column(self.fields[index], rows)
            for column, index in bound.columns.items()
        }
        return to_canonical(bound, cells, pl.Series(places).cast(pl.UInt32), records.refused)

    def _metadata(self) -> Any:
        from databento_dbn import DBNError, Metadata, VersionUpgradePolicy

        head = self._stream.read(HEAD)
        if head[: len(MAGIC)] != MAGIC:
            raise FileRefused(f"{self._label}: is not DBN; the feed says it is")
        body = self._stream.read(int.from_bytes(head[4:], "little"))
        try:
            return Metadata.decode(head + body, upgrade_policy=VersionUpgradePolicy.AS_IS)
        except (DBNError, ValueError) as error:
            raise FileRefused(f"{self._label}: its metadata cannot be read: {error}") from None

    def _column(self, name: str, rows: "NDArray[Any]") -> pl.Series:
        from databento_dbn import UNDEF_ORDER_SIZE, UNDEF_PRICE

        if name in DERIVED:
            return self._derived(name, rows)
        values = np.ascontiguousarray(rows[name])
        if name in self._prices:
            units = pl.Series(values)
            return units_to_decimal(units.set(units == UNDEF_PRICE, None), PRICE)
        if name.startswith("ts_") and values.dtype == np.uint64:
            return _moments(values).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
        if values.dtype == np.dtype("S1"):
            return _LETTERS.gather(values.view(np.uint8))
        found = pl.Series(values)
        if name == "size":
            return found.set(found == UNDEF_ORDER_SIZE, None)
        return found.cast(pl.String) if name == "order_id" else found

    def _derived(self, name: str, rows: "NDArray[Any]") -> pl.Series:
        from databento_dbn import F_BAD_TS_RECV, F_MAYBE_BAD_BOOK

        if name == "symbol":
            return self._symbol(rows)
        if name == "schema":
            return pl.Series([self.schema]).new_from_index(0, len(rows))
        if name == "is_doubtful":
            flags = rows["flags"] if "flags" in (self._dtype.names or ()) else np.zeros(len(rows))
            doubt = int(F_BAD_TS_RECV) | int(F_MAYBE_BAD_BOOK)
            return pl.Series((flags.astype(np.uint8) & doubt) != 0)
        ids = pl.Series(np.ascontiguousarray(rows["publisher_id"]))
        names = {number: _publisher(number)[name == "venue"] for number in ids.unique().to_list()}
        return ids.replace_strict(names, return_dtype=pl.String)

    def _symbol(self, rows: "NDArray[Any]") -> pl.Series:
        """The instrument's symbol on the UTC day of the record, null where the file names none."""
        clock = "ts_recv" if "ts_recv" in (self._dtype.names or ()) else "ts_event"
        seen = pl.DataFrame(
            {
                "id": np.ascontiguousarray(rows["instrument_id"]),
                "day": _moments(np.ascontiguousarray(rows[clock])) // DAY_NS,
            }
        )
        known = seen.unique().with_columns(
            pl.struct("id", "day")
            .map_elements(lambda pair: self._resolved(pair["id"], pair["day"]), pl.String)
            .alias("symbol")
        )
        found = seen.join(
            known, on=["id", "day"], how="left", nulls_equal=True, maintain_order="left"
        )
        return found["symbol"]

    def _resolved(self, instrument: int, day: int | None) -> str | None:
        if day is None:
            return None
        found: str | None = self._symbols.resolve(instrument, date.fromordinal(719_163 + day))
        return found


def _moments(values: "NDArray[np.uint64]") -> pl.Series:
    """Times as ns since epoch; null where undefined, or beyond what 64 bits with a sign hold."""
    return pl.Series(values).cast(pl.Int64, strict=False)


@cache
def _publisher(number: int) -> tuple[str, str]:
    """A publisher's name and its venue; its number for both where it is newer than this library."""
    from databento.common.publishers import Publisher

    try:
        publisher = Publisher.from_int(number)
    except ValueError:
        return str(number), str(number)
    return str(publisher), str(publisher.venue)
