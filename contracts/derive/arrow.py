"""Contract -> Arrow schema of its bronze table."""

import polars as pl
import pyarrow as pa

from contracts.base import Contract

OK, REJECTED = "ok", "rejected"

# Columns that landing adds to every row: where it came from, when, and what became of it.
LANDING_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "recv_ts_ns": (pa.int64(), "when the record was received, ns since epoch UTC"),
    "source": (pa.string(), "the feed: a topic, or the name of a feed mapping"),
    "unit": (pa.string(), "what positions count in: a topic-partition, or one file"),
    "position": (pa.int64(), "offset in the partition, or row in the file, from 0"),
    "delivery_unit": (pa.string(), "within which equal rows are different events; may be null"),
    "batch": (pa.string(), "the commit that landed the row"),
    "ingest_ts": (pa.timestamp("us", "UTC"), "when the batch was written"),
    "contract_version": (pa.int32(), "version of the contract that judged the row"),
    "raw": (pa.binary(), "the record's own bytes, kept for rejected rows"),
    "reject_code": (pa.string(), "why it was rejected"),
    "reject_message": (pa.string(), "what exactly was wrong"),
}


def partition_columns(contract: Contract) -> list[str]:
    """Bronze partition columns, outermost first."""
    return ["verdict", "event_date"] if contract.partition_by_date else ["verdict"]


def file_schema(contract: Contract) -> pa.Schema:
    """Schema of a bronze data file: every column but the partition columns."""
    canonical = pl.Schema({column.name: column.dtype for column in contract.columns})
    fields = [
        pa.field(name, _arrow_type(dtype), nullable=True) for name, dtype in canonical.items()
    ]
    fields += [pa.field(name, dtype) for name, (dtype, _) in LANDING_COLUMNS.items()]
    return pa.schema(fields)


def table_schema(contract: Contract) -> pa.Schema:
    """Schema of the bronze Delta table: the file schema and the partition columns."""
    schema = file_schema(contract).append(pa.field("verdict", pa.string()))
    if contract.partition_by_date:
        schema = schema.append(pa.field("event_date", pa.date32()))
    return schema


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    if isinstance(dtype, pl.Decimal):
        return pa.decimal128(dtype.precision or 38, dtype.scale)
    if dtype == pl.List(pl.String):
        return pa.list_(pa.string())
    simple = {pl.String: pa.string(), pl.Int64: pa.int64(), pl.Boolean: pa.bool_()}
    return simple[type(dtype)]
