"""Did every fault that a generator put in end where its truth table says it must?

Compared in both directions: what was injected and is not there is missing, what is there and was
not injected is false. Rejected messages are told by the digest of their bytes, the others by trade
id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from contracts import registry
from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings


class TruthUnreadable(ValueError):
    """A truth table cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Route:
    """One kind of fault: messages injected, found at their destination, missing, and false."""

    kind: str
    destination: str
    injected: int
    found: int
    missing: int
    false: int

    @property
    def is_exact(self) -> bool:
        """Is nothing missing and nothing false?"""
        return self.missing == 0 and self.false == 0


# What a published lake shows of each destination, as (kind or null, token): the token is what a
# message of the truth table is told by there. Where many faults share a place (quarantine) the
# truth says which kind a token was.
_QUARANTINED = """
select coalesce(reject_code, '') as code, md5(raw) as token from quarantine.{dataset}
"""

# Silver's trades come from several datasets; faults are put into this one alone.
_TOLD = "dataset = 'trades'"

_DUPLICATE = f"select trade_id as token from silver.trade_duplicates where {_TOLD}"

# No quote is ever without its security: one that is has not been injected.
_PARKED = f"""
select trade_id as token from silver.trades where security_sk is null and {_TOLD}
union all
select quote_key from silver.quotes where security_sk is null
"""

# What arrived a second or more after it happened; the usual way takes a fifth of that at most.
_LATE = f"""
select trade_id as token from silver.trades
where recv_ts_ns - event_ts_ns >= 1000000000 and {_TOLD}
"""

# analytics.md 5: more than 5 % from the median of the 50 trades before, of which there are 20.
_OUTLIER = f"""
with preceded as (
    select
        trade_id,
        price::double as price,
        median(price::double) over before as reference,
        count(*) over before as trades_before
    from silver.trades
    where {_TOLD}
    window before as (
        partition by source, instrument_id, session_date, session_id
        order by event_ts_ns, sequence nulls last, tie_order
        rows between 50 preceding and 1 preceding
    )
)

select trade_id as token from preceded
where trades_before >= 20 and abs(price - reference) > 0.05 * reference
"""

_KEPT = {"duplicate": _DUPLICATE, "parked": _PARKED, "late": _LATE, "outlier": _OUTLIER}

# Every destination is a multiset of tokens: a message injected twice has to be found twice.
_COMPARE = """
with injected as (
    select kind, token, count(*) as n from expected group by all
),

found as (
    select token, count(*) as n from ({found}) group by all
)

select
    coalesce(i.kind, '{stray}') as kind,
    coalesce(sum(i.n), 0)::bigint as injected,
    sum(least(coalesce(i.n, 0), coalesce(f.n, 0)))::bigint as found,
    sum(greatest(coalesce(i.n, 0) - coalesce(f.n, 0), 0))::bigint as missing,
    sum(greatest(coalesce(f.n, 0) - coalesce(i.n, 0), 0))::bigint as false
from injected as i
full join found as f on i.token = f.token
group by all
order by 1
"""


def routing(settings: Settings, truths: Sequence[Path]) -> list[Route]:
    """Where the messages of the truth tables ended in what is published, kind by kind.

    A line `(not injected)` counts what stands at a destination without having been put in. Raises
    TruthUnreadable, and lake.lakehouse.NothingPublished before the first publication.
    """
    expected = _read(truths)
    with lakehouse.connect(layout(settings)) as conn:
        conn.register("truth", expected.to_arrow())
        routes = []
        for dataset in registry.all_contracts():
            of_dataset = f"where dataset = '{dataset}'"
            tokens = "code || ' ' || digest"
            found = f"select code || ' ' || token as token from ({_QUARANTINED})"
            routes += _compare(
                conn,
                "quarantine",
                f"{of_dataset} and destination = 'quarantine'",
                tokens,
                found.format(dataset=dataset),
            )
        for destination, found in _KEPT.items():
            where = f"where destination = '{destination}'"
            routes += _compare(conn, destination, where, "trade_id", found)
    return routes


def _compare(
    conn: DuckDBPyConnection, destination: str, where: str, token: str, found: str
) -> list[Route]:
    conn.execute(
        f"create or replace temp view expected as select kind, {token} as token from truth {where}"
    )
    rows = conn.execute(_COMPARE.format(found=found, stray="(not injected)")).fetchall()
    return [Route(kind, destination, *counts) for kind, *counts in rows]


def _read(truths: Sequence[Path]) -> pl.DataFrame:
    columns = ["dataset", "trade_id", "kind", "code", "destination", "digest"]
    frames = []
    for path in truths:
        try:
            frames.append(pl.read_parquet(path, columns=columns))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TruthUnreadable(
                f"{path} is no truth table ({error}); name the truth.parquet that "
                "`ticklake generate` wrote beside its data"
            ) from error
    return pl.concat(frames)
