"""Do the speed layer's candles agree with those of batch? Reads the drift tables of gold."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings

WIDTHS = ("1s", "10s", "1m")
_ORDER = "list_position(['1s', '10s', '1m'], width)"


class DriftNotBuilt(RuntimeError):
    """What is published has no drift tables; the message says how to get them."""


@dataclass(frozen=True)
class Run:
    """A UTC day of a width (day None: all of them). Volumes in units, `_pct` in per cent.

    It passes if volume, windows that one layer lacks, and windows whose price strays are each at
    most `limit_pct` of what was compared.
    """

    width: str
    day: date | None
    windows: int
    missing: int
    extra: int
    price_alerts: int
    batch_volume: Decimal
    volume_difference: Decimal
    limit_pct: Decimal
    passed_volume: bool
    passed_windows: bool
    passed_prices: bool

    @property
    def passed(self) -> bool:
        """Is everything within its limit?"""
        return self.passed_volume and self.passed_windows and self.passed_prices

    @property
    def volume_drift_pct(self) -> Decimal | None:
        """Difference of volumes in per cent of batch volume, to six digits; None without one."""
        return _per_cent(self.volume_difference, self.batch_volume)

    @property
    def missing_pct(self) -> Decimal | None:
        """Windows that one layer lacks in per cent of those compared, to six digits."""
        return _per_cent(Decimal(self.missing + self.extra), Decimal(self.windows))

    @property
    def price_alert_pct(self) -> Decimal | None:
        """Windows whose price strays in per cent of those compared, to six digits."""
        return _per_cent(Decimal(self.price_alerts), Decimal(self.windows))

    def told(self) -> str:
        """The run in a line."""
        beyond = [
            f"{name} {found} %"
            for name, found, passed in (
                ("volume", self.volume_drift_pct, self.passed_volume),
                ("missing and extra windows", self.missing_pct, self.passed_windows),
                ("prices", self.price_alert_pct, self.passed_prices),
            )
            if not passed
        ]
        verdict = f"beyond {self.limit_pct} %: {', '.join(beyond)}" if beyond else "passes"
        return f"{self.day or 'all days'} {self.width}, {self.windows} windows: {verdict}"


@dataclass(frozen=True)
class Cause:
    """How many windows of a width differ for a cause, and by how much volume (units)."""

    width: str
    cause: str
    windows: int
    volume_difference: Decimal


@dataclass(frozen=True)
class Window:
    """A window that differs; volume_diff is speed less batch, units, price_drift_pct per cent."""

    width: str
    instrument_id: str
    venue: str
    window_start: datetime
    status: str
    cause: str
    is_alert: bool
    price_drift_pct: float | None
    volume_diff: Decimal
    count_diff: int


@dataclass(frozen=True)
class Drift:
    """Runs over all venues, what makes them differ, and the worst windows."""

    runs: list[Run]
    totals: list[Run]
    causes: list[Cause]
    windows: list[Window]


def drift(
    settings: Settings, day: date | None = None, width: str | None = None, worst: int = 10
) -> Drift:
    """What is published of drift: of one UTC day or all, of one width or all.

    Runs and causes are those of venue ALL; of the windows the `worst` that differ: what was lost
    first, then alerts, then by volume. Raises lake.lakehouse.NothingPublished and DriftNotBuilt.
    """
    where, given = _asked(day, width)
    with lakehouse.connect(layout(settings)) as conn:
        try:
            rows = conn.execute(
                "select width, day, windows, missing, extra, price_alerts, batch_volume, "
                "volume_difference, limit_pct::decimal(7, 4), passed_volume, passed_windows, "
                f"passed_prices from gold.drift_runs where venue = 'ALL' {where} "
                f"order by day, {_ORDER}",
                given,
            ).fetchall()
        except duckdb.CatalogException:
            raise DriftNotBuilt(
                f"gold.drift_runs is not published under {settings.root}: build with "
                "TICKLAKE_MODELS=all (the default); `core` leaves it out"
            ) from None
        where, given = _asked(day, width, "(timezone('UTC', window_start))::date")
        causes = conn.execute(
            "select width, cause, count(*), sum(abs(volume_diff)) from gold.candle_drift "
            f"where venue = 'ALL' {where} group by width, cause order by {_ORDER}, cause",
            given,
        ).fetchall()
        windows = conn.execute(
            "select width, instrument_id, venue, window_start, status, cause, is_alert, "
            f"price_drift_pct, volume_diff, count_diff from gold.candle_drift where true {where} "
            "order by cause = 'lost' desc, is_alert desc, abs(volume_diff) desc, "
            f"{_ORDER}, window_start, instrument_id, venue limit {worst:d}",
            given,
        ).fetchall()
    runs = [Run(*row) for row in rows]
    return Drift(
        runs, _totals(runs), [Cause(*row) for row in causes], [Window(*r) for r in windows]
    )


def _asked(day: date | None, width: str | None, of_day: str = "day") -> tuple[str, list[Any]]:
    where, given = "", list[Any]()
    for column, value in ((of_day, day), ("width", width)):
        if value is not None:
            where += f" and {column} = ?"
            given.append(value)
    return where, given


def _totals(runs: list[Run]) -> list[Run]:
    """All days of each width, judged as one."""
    return [_together([run for run in runs if run.width == width]) for width in
            dict.fromkeys(run.width for run in runs)]  # fmt: skip


def _together(runs: list[Run]) -> Run:
    whole = replace(
        runs[0],
        day=None,
        windows=sum(run.windows for run in runs),
        missing=sum(run.missing for run in runs),
        extra=sum(run.extra for run in runs),
        price_alerts=sum(run.price_alerts for run in runs),
        batch_volume=sum((run.batch_volume for run in runs), Decimal(0)),
        volume_difference=sum((run.volume_difference for run in runs), Decimal(0)),
    )
    return replace(
        whole,
        passed_volume=_within(whole.volume_difference, whole.batch_volume, whole.limit_pct),
        passed_windows=_within(whole.missing + whole.extra, whole.windows, whole.limit_pct),
        passed_prices=_within(whole.price_alerts, whole.windows, whole.limit_pct),
    )


def _within(part: Decimal | int, whole: Decimal | int, limit_pct: Decimal) -> bool:
    return part * 100 <= whole * limit_pct


def _per_cent(part: Decimal, whole: Decimal) -> Decimal | None:
    return round(part * 100 / whole, 6) if whole else None
