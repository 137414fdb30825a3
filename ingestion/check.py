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
        code, says, shown = _reason(error)
        rank = PRIORITY.index(code)
        broken = error.check_output["check_output"].not_().arg_true()
        messages = _messages(frame[broken].select(shown), says, len(broken))
        for row, message in zip(broken.to_list(), messages, strict=True):
            if row not in found or rank < found[row][0]:
                found[row] = (rank, code, message)
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


def _reason(error: pa.errors.SchemaError) -> tuple[RejectCode, str, list[str]]:
    """The code of a broken rule, what it says, and the columns it looked at."""
    if error.reason_code == SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return RejectCode.SCHEMA_MISSING_FIELD, f"{error.schema.name} is missing", []
    if error.reason_code == SchemaErrorReason.DATAFRAME_CHECK and error.check_output is not None:
        rule = error.check
        return RejectCode(rule.name), rule.description, rule.title.split(",")
    raise error  # a wrong type here is our own fault, not the record's: never quarantine for it


def _messages(values: pl.DataFrame, says: str, rows: int) -> list[str]:
    """What is said of each row: the rule's words, and the values that it looked at."""
    if not values.width:
        return [says] * rows
    names = values.columns
    said = (
        ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
        for row in values.iter_rows()
    )
    return [f"{says}: {shown}" if says else shown for shown in said]
