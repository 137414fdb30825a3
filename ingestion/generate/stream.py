"""The generator's front: streams of messages, and the truth about the faults in them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate.faults import FAULTS
from ingestion.generate.plan import Plan
from ingestion.generate.quotes import quote_messages
from ingestion.generate.securities import security_messages
from ingestion.generate.trades import trade_messages

__all__ = ["DATASETS", "Plan", "Stream", "stream", "truth"]

_MESSAGES: dict[str, Callable[[Plan, date], pl.DataFrame]] = {
    "securities": security_messages,
    "quotes": quote_messages,
    "trades": trade_messages,
}
DATASETS = tuple(_MESSAGES)


@dataclass(frozen=True)
class Stream:
    """Messages in the order they arrive; the three fields are parallel.

    `values` are the JSON bytes (a malformed message is not JSON), `keys` the instrument ids,
    `recv_ts_ms` the arrival times, ms since epoch UTC, never decreasing.
    """

    values: list[bytes]
    keys: list[bytes]
    recv_ts_ms: npt.NDArray[np.int64]


def stream(plan: Plan, dataset: str, day: date) -> Stream:
    """One dataset's messages of one day: the same plan gives the same bytes.

    Raises ValueError for a dataset that is not generated or a day that is not in the plan.
    """
    if dataset not in _MESSAGES:
        raise ValueError(f"generator: no dataset {dataset!r}; it makes {', '.join(DATASETS)}")
    messages = _MESSAGES[dataset](plan, day)
    return Stream(
        values=messages["value"].to_list(),
        keys=messages["key"].to_list(),
        recv_ts_ms=messages["recv_ts_ms"].to_numpy(),
    )


def truth(plan: Plan) -> pl.DataFrame:
    """What must become of every faulty message, one row for each, by day and message.

    Columns: dataset, day, message (index from 0 in that day's stream), trade_id (null where the
    message carries none that can be read), kind, verdict (ok | rejected), code (reject code or
    null), silver (kept | duplicate | none). Messages that are not listed are ok and kept.
    """
    routing = pl.DataFrame(
        {
            "kind": [fault.kind for fault in FAULTS],
            "verdict": [fault.verdict for fault in FAULTS],
            "code": [fault.code for fault in FAULTS],
            "silver": [fault.silver for fault in FAULTS],
        }
    )
    days = [
        trade_messages(plan, day)
        .with_row_index("message")
        .filter(pl.col("fault").is_not_null())
        .select(
            dataset=pl.lit("trades"),
            day=pl.lit(day),
            message=pl.col("message").cast(pl.Int64),
            trade_id="trade_id",
            kind="fault",
        )
        for day in plan.days
    ]
    return pl.concat(days).join(routing, on="kind", how="left", maintain_order="left")
