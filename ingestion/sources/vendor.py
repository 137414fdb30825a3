"""What the vendors' sources share: their errors, their patience, and their records as a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import polars as pl
import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_before_delay,
    wait_random_exponential,
)

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.decode import decode_json
from lake.bronze import Span
from lake.settings import Settings

log = structlog.get_logger()

T = TypeVar("T")
PAUSES = wait_random_exponential(multiplier=0.5, max=30)
LONGEST_MESSAGE = 200  # of a vendor's own words in an error


class VendorRefused(RuntimeError):
    """The vendor will not answer this, however often it is asked; the message says what to set."""


class VendorAway(RuntimeError):
    """The vendor did not answer, or only with "later", for as long as the settings allow."""


class Later(Exception):
    """The vendor asks to come back; `after_s` seconds from now where it says so."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


def patiently(settings: Settings, ask: Callable[[], T]) -> T:
    """The answer of `ask`, asked again while it raises Later, after growing, jittered pauses.

    Raises VendorAway when vendor_patience_s seconds have not been enough.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(Later),
        wait=_pause_s,
        stop=stop_before_delay(settings.vendor_patience_s),
        before_sleep=_say,
        reraise=True,
    )
    try:
        return retrying(ask)
    except Later as later:
        raise VendorAway(
            f"{later}; tried for {settings.vendor_patience_s:g} s (TICKLAKE_VENDOR_PATIENCE). What "
            "was committed stays, run it again to go on"
        ) from later


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_for = error.after_s if isinstance(error, Later) else 0.0
    return max(asked_for, PAUSES(state))


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    log.warning("vendor says later", why=str(error), seconds=round(pause, 1))


@dataclass(frozen=True)
class Rows:
    """Records that follow each other in one unit: as the vendor wrote them, and on the wire.

    `raw` are the vendor's own bytes, `wire` the same records as JSON of the contract; `received`
    holds ns since epoch UTC for each of them.
    """

    unit: str
    first: int
    raw: Sequence[bytes]
    wire: Sequence[bytes]
    received: Sequence[int]

    @property
    def span(self) -> Span:
        """The positions that they take."""
        return Span(self.unit, self.first, self.first + len(self.raw), len(self.raw))


def batch_of(
    contract: Contract, settings: Settings, source: str, parts: Sequence[Rows], *marks: Span
) -> Batch:
    """Rows of several units as one batch. `marks` are spans without rows that move with it.

    Units are delivery units too: within one, equal records are different events.
    """
    raw = [record for part in parts for record in part.raw]
    wire = [record for part in parts for record in part.wire]
    units = pl.Series("unit", [u for p in parts for u in [p.unit] * len(p.raw)], pl.String)
    provenance = pl.DataFrame(
        {
            "recv_ts_ns": pl.Series([ns for part in parts for ns in part.received], dtype=pl.Int64),
            "unit": units,
            "position": pl.Series(
                [p.first + row for p in parts for row in range(len(p.raw))], dtype=pl.Int64
            ),
            "delivery_unit": units,
        }
    )
    return Batch(
        contract=contract,
        source=source,
        provenance=provenance,
        spans=[*_joined(parts), *marks],
        raw=lambda places: [raw[place] for place in places],
        decode=partial(decode_json, contract, wire, settings.max_record_bytes),
    )


def _joined(parts: Sequence[Rows]) -> list[Span]:
    """One span for each unit: parts of the same unit follow each other."""
    spans: dict[str, Span] = {}
    for span in (part.span for part in parts if part.raw):
        known = spans.get(span.unit)
        first = known.first if known else span.first
        spans[span.unit] = Span(span.unit, first, span.next, span.next - first)
    return list(spans.values())
