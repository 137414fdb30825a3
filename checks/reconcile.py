"""Do the accounts close? Reads the audit models of the last publication and of the last build."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from duckdb import DuckDBPyConnection

from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings


@dataclass(frozen=True)
class Account:
    """One line: left = right, or it is open. `detail` names the rows behind a difference."""

    name: str
    scope: str
    left: Decimal
    right: Decimal
    difference: Decimal
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Does the line fail to close?"""
        return self.difference != 0


_SUMMARY = """
select 'consumed = ok + rejected', dataset, sum(consumed), sum(ok_rows + rejected_rows),
    sum(abs(difference)) + count(*) filter (where not has_right_positions)
from audit.account_landing group by dataset
union all
select 'ok = silver + duplicates + filtered', dataset, sum(ok_rows),
    sum(silver_rows + duplicate_rows + filtered_rows), sum(abs(difference))
from audit.account_silver group by dataset
union all
select 'ok = silver + duplicates + filtered, quantity', dataset, sum(ok_quantity),
    sum(silver_quantity + duplicate_quantity + filtered_quantity), sum(abs(quantity_difference))
from audit.account_silver where dataset <> 'securities' group by dataset
union all
select 'seen = passed + filtered + rejected', 'orders', sum(seen_rows),
    sum(passed_rows + filtered_rows + rejected_rows), sum(abs(difference))
from audit.account_gateway where not is_replay having count(*) > 0
union all
select 'replayed = passed + filtered', 'orders', sum(seen_rows),
    sum(passed_rows + filtered_rows + rejected_rows), sum(abs(difference))
from audit.account_gateway where is_replay having count(*) > 0
union all
select 'replayed = ok', dataset, sum(replayed_rows), sum(ok_rows),
    sum(abs(difference)) + count(*) filter (where not has_right_positions)
from audit.account_replay group by dataset
union all
select 'replayed = answered in quarantine', dataset, sum(replayed_rows), sum(quarantined_rows),
    sum(abs(quarantined_difference))
from audit.account_replay group by dataset
union all
select 'silver = gold', account, sum(silver_rows), sum(gold_rows), sum(abs(difference))
from audit.account_gold where venue = 'ALL' group by account
union all
select 'silver = gold, quantity', account, sum(silver_quantity), sum(gold_quantity),
    sum(abs(quantity_difference))
from audit.account_gold where venue = 'ALL' and account <> 'enriched_quotes' group by account
union all
select 'silver = gold, notional', account, sum(silver_notional), sum(gold_notional),
    sum(abs(notional_difference))
from audit.account_gold where venue = 'ALL' and account <> 'enriched_quotes' group by account
union all
select 'silver = gold, by venue', account, sum(silver_rows), sum(gold_rows), sum(abs(difference))
from audit.account_gold where venue <> 'ALL' group by account
order by 1, 2
"""


def reconcile(settings: Settings) -> list[Account]:
    """Every account, closed or open, of what is published; then what stopped the last build.

    Raises lake.lakehouse.NothingPublished before the first publication, unless a build was
    stopped by its accounts: then those lines are all there is.
    """
    stopped = _last_build(settings)
    try:
        with lakehouse.connect(layout(settings)) as conn:
            return [*_published(conn), *stopped]
    except lakehouse.NothingPublished:
        if stopped:
            return stopped
        raise


def _published(conn: DuckDBPyConnection) -> list[Account]:
    rows = conn.execute(_SUMMARY).fetchall()
    return [
        Account(name, scope, Decimal(left), Decimal(right), Decimal(difference))
        for name, scope, left, right, difference in rows
    ]


def _last_build(settings: Settings) -> list[Account]:
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
    left, right = {
        "landing": ("consumed", ("ok_rows", "rejected_rows")),
        "replay": ("replayed_rows", ("ok_rows",)),
        "silver": ("ok_rows", ("silver_rows", "duplicate_rows", "filtered_rows")),
        "gateway": ("seen_rows", ("passed_rows", "filtered_rows", "rejected_rows")),
        "gold": ("silver_rows", ("gold_rows",)),
    }[kind]
    amounts = [Decimal(str(line[c])) for c in line if c.endswith("difference")]
    difference = next((a for a in amounts if a), Decimal(0))
    if line.get("has_right_positions") is False and not difference:
        difference = Decimal(1)
    scope = [str(line[c]) for c in ("dataset", "account", "unit", "batch", "instrument_id", "venue",
                                    "event_hour") if line.get(c) is not None]  # fmt: skip
    return Account(
        name=f"{kind} account of build {build_id}, not published",
        scope=" ".join(scope),
        left=Decimal(str(line[left])),
        right=sum((Decimal(str(line[c])) for c in right), Decimal(0)),
        difference=difference,
        detail=json.dumps(line, sort_keys=True),
    )
