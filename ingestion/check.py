"""The contract check: pandera over a whole batch, every bad row with its reason."""

from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, get_config_context
from pandera.errors import SchemaErrorReason, SchemaErrors

from contracts.base import Contract
from contracts.codes import PRIORITY, RejectCode
from ingestion.batch import REJECT_SCHEMA


class ContractsDisabled(RuntimeError):
    """Pandera was told not to check; landing would let anything through."""


@dataclass(frozen=True)
class Checked:
    """Rows that keep the contract, and rejects (i, code, message)."""

    good: pl.DataFrame
    rejects: pl.DataFrame


def refuse_if_disabled() -> None:
    """Stop before any data is touched if contract checks are switched off (invariant 9)."""
    config = get_config_context()
    if not config.validation_enabled or config.validation_depth == ValidationDepth.SCHEMA_ONLY:
        raise ContractsDisabled(
            "contract checks are switched off by PANDERA_VALIDATION_ENABLED or "
            "PANDERA_VALIDATION_DEPTH; unset both: Ticklake does not land unchecked data"
        )


def check(contract: Contract, frame: pl.DataFrame) -> Checked:
    """Judge decoded rows. `frame` has the contract's columns, recv_ts_ns and i.

    A row that breaks several rules is filed under the first in contracts.codes.PRIORITY.
    """
    refuse_if_disabled()
    judged = frame.select(*contract.schema.columns)
    try:
        contract.schema.validate(judged, lazy=True)
    except SchemaErrors as errors:
        return _split(frame, errors)
    return Checked(frame, pl.DataFrame(schema=REJECT_SCHEMA))


def _split(frame: pl.DataFrame, errors: SchemaErrors) -> Checked:
    found: dict[int, tuple[int, RejectCode, str]] = {}
    for error in errors.schema_errors:
        code, column = _code(error)
        for row in error.check_output["check_output"].not_().arg_true().to_list():
            rank = PRIORITY.index(code)
            if row not in found or rank < found[row][0]:
                found[row] = (rank, code, _message(frame, row, code, column))
    rows = sorted(found)
    rejected = pl.DataFrame(
        {
            "i": frame["i"].gather(rows),
            "code": [found[row][1].value for row in rows],
            "message": [found[row][2] for row in rows],
        },
        schema=REJECT_SCHEMA,
    )
    return Checked(frame.filter(~pl.int_range(pl.len()).is_in(rows)), rejected)


def _code(error: pa.errors.SchemaError) -> tuple[RejectCode, str | None]:
    if error.reason_code == SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return RejectCode.SCHEMA_MISSING_FIELD, error.schema.name
    if error.reason_code == SchemaErrorReason.DATAFRAME_CHECK and error.check_output is not None:
        return RejectCode(error.check.name), None
    raise error  # a wrong type here is our own fault, not the record's: never quarantine for it


_SHOWN = {
    RejectCode.PRICE_NOT_POSITIVE: ("price", "bid_price", "offer_price", "price_multiplier"),
    RejectCode.QTY_NOT_POSITIVE: ("quantity",),
    RejectCode.QTY_NEGATIVE: ("bid_size", "offer_size", "size"),
    RejectCode.FUTURE_TS: ("event_ts_ns", "recv_ts_ns"),
    RejectCode.TS_OUT_OF_RANGE: ("event_ts_ns",),
    RejectCode.UNKNOWN_SIDE: ("side",),
    RejectCode.SCHEMA_TYPE: ("status", "price", "quantity"),
}


def _message(frame: pl.DataFrame, row: int, code: RejectCode, column: str | None) -> str:
    if column is not None:
        return f"{column} is missing"
    names = [name for name in _SHOWN.get(code, ()) if name in frame.columns]
    return ", ".join(f"{name}={frame[name][row]}" for name in names)
