"""What failed in the flows, and what was well again: the rows of `ledger/failures`.

A row is a note as it was sent out, so nothing in it is edited. That a task succeeds again later is
a row, too: `settled` says of each failure whether there is one. How rows are kept is in
`failures_table`: what a task says while it dies should not wait for packages to load.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Kind = Literal["failed", "timed_out", "late", "succeeded"]


@dataclass(frozen=True)
class Failure:
    """One row. `task` is empty where the run as a whole is meant; times are UTC.

    `failure_id` names the try, so that a note that is written twice is there once. `params` is
    JSON; `log` the address or path of the log. Of a row of kind `succeeded` what is behind
    `params` is empty.
    """

    failure_id: str
    noted_at: datetime
    kind: Kind
    flow: str
    task: str
    run_id: str
    try_number: int
    tries: int
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    params: str = "{}"
    error: str = ""
    rule: str = ""
    cause: str = ""
    remedy: str = ""
    command: str = ""
    log: str = ""


def settled(rows: Iterable[Failure]) -> list[tuple[Failure, datetime | None]]:
    """Each failure with the moment from which on its task did the same work well, None if not yet.

    The same work is the same run, or one for the same days with the same parameters; of a flow
    whose runs are for a moment and not for days, any later run.
    """
    rows = list(rows)
    done = [row for row in rows if row.kind == "succeeded"]
    return [
        (row, next((d.noted_at for d in done if _settles(d, row)), None))
        for row in rows
        if row.kind != "succeeded"
    ]


def _settles(done: Failure, failure: Failure) -> bool:
    if (done.flow, done.task) != (failure.flow, failure.task) or done.noted_at < failure.noted_at:
        return False
    return done.run_id == failure.run_id or _work(done) == _work(failure)


def _work(row: Failure) -> tuple[Any, ...]:
    interval = (row.interval_start, row.interval_end)
    return (row.params, interval if interval[0] != interval[1] else None)
