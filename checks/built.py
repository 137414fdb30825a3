"""The accounts that builds keep: of what is published, and of a build that they stopped."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from checks.account import Account, unreadable
from lake.settings import Settings

MOST_NAMED = 50  # open lines of the publication

_CLOSED = """
select account, measure, scope, sum(left_amount), sum(right_amount)
from audit.accounts where not is_open group by all order by all
"""
_OPEN = f"""
select account, measure, concat_ws(' ', scope, unit, instrument_id, venue, hour),
    left_amount, right_amount, difference, coalesce(left_out, '')
from audit.accounts where is_open order by all limit {MOST_NAMED}
"""

# Of each account table, the column on the left and those on the right.
_SIDES = {
    "landing": ("consumed", ("ok_rows", "rejected_rows")),
    "replay": ("replayed_rows", ("ok_rows",)),
    "silver": ("ok_rows", ("silver_rows", "duplicate_rows", "lifecycle_rows", "filtered_rows")),
    "analysts": ("ok_rows", ("silver_rows", "duplicate_rows", "filtered_rows")),
    "gateway": ("seen_rows", ("passed_rows", "filtered_rows", "rejected_rows")),
    "gold": ("silver_rows", ("gold_rows", "outlier_rows", "not_volume_eligible_rows")),
    "risk": ("silver_rows", ("gold_rows", "no_trader_rows", "no_side_rows", "no_notional_rows")),
    "sessions": ("hours_rows", ("day_rows",)),
}
_WHERE = (
    "dataset", "silver_table", "account", "unit", "batch", "instrument_id", "venue",
    "session_scope", "event_hour",
)  # fmt: skip


def published(conn: DuckDBPyConnection) -> list[Account]:
    """The accounts of the current publication: closed lines summed up, open ones one by one."""
    look = 'ticklake sql "from audit.accounts where is_open"'
    try:
        closed = conn.execute(_CLOSED).fetchall()
        found = conn.execute(_OPEN).fetchall()
    except duckdb.CatalogException:
        why = "published by an older version, without audit.accounts; run `ticklake build`"
        return [unreadable("accounts of the publication", "audit.accounts", why)]
    except duckdb.Error as error:
        return [unreadable("accounts of the publication", "audit.accounts", str(error))]
    return [
        *(
            Account(_named(account, measure), scope, _plain(left), _plain(right), Decimal(0))
            for account, measure, scope, left, right in closed
        ),
        *(
            Account(
                name=_named(account, measure),
                scope=scope,
                left=_plain(left),
                right=_plain(right),
                difference=_plain(difference),
                detail=left_out,
                look=look,
            )
            for account, measure, scope, left, right, difference, left_out in found
        ),
    ]


def _plain(amount: Decimal) -> Decimal:
    """Without the zeros that the type of a sum adds."""
    whole = amount.to_integral_value()
    return whole if whole == amount else amount.normalize()


def _named(account: str, measure: str) -> str:
    return account if measure == "rows" else f"{account}, {measure}"


def last_build(settings: Settings) -> list[Account]:
    """Open lines of the newest build, if it was stopped by them."""
    outcomes = sorted((settings.local / "run" / "builds").glob("*.json"))
    if not outcomes:
        return []
    found = json.loads(outcomes[-1].read_bytes())
    return [
        _open(found["build_id"], entry["table"], entry["line"]) for entry in found["open_accounts"]
    ]


def _open(build_id: str, table: str, line: Mapping[str, Any]) -> Account:
    kind = table.removeprefix("account_")
    left, right = _SIDES[kind]
    amounts = [Decimal(str(line[c])) for c in line if c.endswith("difference")]
    difference = next((a for a in amounts if a), Decimal(0))
    if line.get("has_right_positions") is False and not difference:
        difference = Decimal(1)
    return Account(
        name=f"{kind} account of build {build_id}, not published",
        scope=" ".join(str(line[c]) for c in _WHERE if line.get(c) is not None),
        left=Decimal(str(line[left])),
        right=sum((Decimal(str(line[c])) for c in right), Decimal(0)),
        difference=difference,
        detail=json.dumps(line, sort_keys=True),
    )
