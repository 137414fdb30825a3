"""The pictures of the profile, each a Vega-Lite chart of facts."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from checks.profile.facts import Facts

INK, MUTED, LINE = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, ORANGE, RED = "#2563eb", "#ea580c", "#dc2626"
CONDITIONS = {
    "available": "#16a34a",
    "degraded": "#f59e0b",
    "pending": "#3b82f6",
    "missing": "#dc2626",
}
MISSED = {
    "out of order, in time": "#cbd5e1",
    "too late for its second": "#fcd34d",
    "too late for its 10 s": "#f97316",
    "too late for its minute": "#b91c1c",
}
Picture = Any  # a chart; what Altair's chained calls return has no type of its own
THRESHOLDS = {"hft_gaps": "HFT", "fast_gaps": "fast", "standard_gaps": "standard"}
WIDE = 900  # pixels of a picture that has the page's width
CELL = 22  # pixels of a heat map's row


def pictures(facts: Facts) -> dict[str, Picture]:
    """Name -> chart, of those that there is something to draw for."""
    made: dict[str, Picture | None] = {
        "conditions": conditions(facts) if facts.conditions.height else None,
        "largest": _completeness(facts, facts.largest) if facts.largest else None,
        "worst": _completeness(facts, facts.worst) if facts.worst else None,
        "activity": activity(facts) if facts.activity.height else None,
        "gaps": _gaps(facts) if facts.drawn else None,
        "prices": prices(facts) if facts.prices.height else None,
        "lateness": _lateness(facts) if facts.lateness.height else None,
        "rejected": _rejected(facts) if facts.rejected.height else None,
        "volume": _volume(facts) if facts.volume.filter(pl.col("is_day")).height else None,
    }
    return {name: dressed(chart) for name, chart in made.items() if chart is not None}


def dressed(chart: Picture) -> Picture:
    """The colors of lines and labels that all pictures share."""
    return (
        chart.properties(background="white", autosize={"type": "pad"})
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=MUTED,
            titleFontWeight="normal",
            gridColor=LINE,
            domainColor=LINE,
            tickColor=LINE,
            labelLimit=180,
        )
        .configure_legend(labelColor=INK, titleColor=MUTED, orient="top", title=None)
        .configure_header(labelColor=INK, labelFontWeight="bold", title=None, labelAnchor="start")
    )


def conditions(facts: Facts) -> Picture:
    """A cell per dataset and day, with the first letter of its condition."""
    frame = facts.conditions
    days = frame["day"].n_unique()
    size = min(max(WIDE // max(days, 1), 16), 90)
    base = alt.Chart(frame).encode(
        alt.X(
            "day:O", title=None, axis=alt.Axis(orient="top", labelAngle=_angle(size), ticks=False)
        ),
        alt.Y("dataset:N", title=None, axis=alt.Axis(ticks=False)),
    )
    boxes = base.mark_rect(cornerRadius=3, stroke="white", strokeWidth=2).encode(
        alt.Color(
            "condition:N",
            scale=alt.Scale(domain=list(CONDITIONS), range=list(CONDITIONS.values())),
            legend=alt.Legend(orient="bottom"),
        ),
        tooltip=["dataset", "day", "condition", "reasons", "ok_rows", "rejected_rows"],
    )
    # Colors are not all that tells the conditions apart.
    letters = base.mark_text(fontSize=11, color="white", fontWeight="bold").encode(
        alt.Text("letter:N")
    )
    letters = letters.transform_calculate(letter="upper(slice(datum.condition, 0, 1))")
    return alt.layer(boxes, letters).properties(width=size * days, height=alt.Step(26))


def _completeness(facts: Facts, names: Sequence[str]) -> Picture:
    order = list(names)
    frame = facts.completeness.filter(pl.col("instrument_id").is_in(order))
    days = frame["day"].n_unique()
    size = min(max(380 // max(days, 1), 16), 90)
    base = alt.Chart(frame).encode(
        alt.X(
            "day:O", title=None, axis=alt.Axis(orient="top", labelAngle=_angle(size), ticks=False)
        ),
        alt.Y("instrument_id:N", title=None, sort=order, axis=alt.Axis(ticks=False)),
    )
    boxes = base.mark_rect(stroke="white", strokeWidth=1).encode(
        alt.Color(
            "complete_pct:Q",
            scale=alt.Scale(domain=[0, 100], scheme="redyellowgreen"),
            legend=alt.Legend(
                orient="bottom", title="% of the session's minutes", gradientLength=200
            ),
        ),
        tooltip=["instrument_id", "day", alt.Tooltip("complete_pct", format=".1f"),
                 "minutes_traded", "minutes_quoted", "expected_minutes"],
    )  # fmt: skip
    if size < 34:
        return alt.layer(boxes).properties(width=size * days, height=alt.Step(CELL))
    numbers = base.mark_text(fontSize=10).encode(
        alt.Text("complete_pct:Q", format=".0f"),
        color=alt.condition(
            "abs(datum.complete_pct - 50) > 32", alt.value("white"), alt.value(INK)
        ),
    )
    return alt.layer(boxes, numbers).properties(width=size * days, height=alt.Step(CELL))


def activity(facts: Facts) -> Picture:
    """Trades of the day in five minutes, with gaps, per instrument that is drawn."""
    return alt.concat(*(_traded(facts, name) for name in facts.drawn), columns=2).resolve_scale(
        y="independent", x="independent"
    )


def _traded(facts: Facts, name: str) -> Picture:
    """Trades of one instrument in five minutes, over its gaps."""
    trades = facts.activity.filter(pl.col("instrument_id") == name)
    gaps = facts.gaps.filter(pl.col("instrument_id") == name)
    bars = (
        alt.Chart(trades)
        .mark_rect(color="#60a5fa", stroke="white", strokeWidth=0.3)
        .encode(
            _clock("moment:T"),
            alt.X2("until:T"),
            alt.Y("trades:Q", title=None, axis=alt.Axis(tickCount=4)),
            alt.Y2(datum=0),
            tooltip=["moment:T", "trades"],
        )
    )
    marks = (
        alt.Chart(gaps)
        .mark_rect(color=RED, opacity=0.25, stroke=RED, strokeWidth=0.4)
        .encode(
            _clock("gap_start:T"),
            alt.X2("gap_end:T"),
            tooltip=["gap_kind", "gap_start:T", "gap_end:T", alt.Tooltip("seconds", format=",.1f")],
        )
    )
    title = _title(
        f"{name}: {_counted(int(trades['trades'].sum()), 'trade')}, {_counted(gaps.height, 'gap')}"
    )
    return alt.layer(marks, bars).properties(width=WIDE // 2 - 60, height=110, title=title)


def _clock(field: str) -> alt.X:
    return alt.X(field, title=None, scale=alt.Scale(type="utc"),
                 axis=alt.Axis(format="%H:%M", grid=False, tickCount=7))  # fmt: skip


def _title(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", fontSize=12, color=INK)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _gaps(facts: Facts) -> Picture:
    frame = (
        facts.instruments.filter(
            pl.col("instrument_id").is_in(list(facts.largest)), pl.col("trades") > 0
        )
        .unpivot(list(THRESHOLDS), index="instrument_id", variable_name="kind", value_name="gaps")
        .with_columns(pl.col("kind").replace(THRESHOLDS))
    )
    return (
        alt.Chart(frame)
        .mark_point(filled=True, size=80, opacity=0.9)
        .encode(
            alt.X("gaps:Q", title="gaps between trades (symmetric log scale)",
                  scale=alt.Scale(type="symlog", nice=True),
                  axis=alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000])),
            alt.Y("instrument_id:N", title=None, sort=list(facts.largest)),
            alt.Color("kind:N", scale=alt.Scale(
                domain=list(THRESHOLDS.values()), range=["#93c5fd", BLUE, RED])),
            alt.Shape("kind:N", scale=alt.Scale(
                domain=list(THRESHOLDS.values()), range=["circle", "diamond", "square"])),
            tooltip=["instrument_id", "kind", "gaps"],
        )
        .properties(width=WIDE // 2 - 90, height=alt.Step(CELL))
    )  # fmt: skip


def prices(facts: Facts) -> Picture:
    """Prices of the day with outliers, per instrument that is drawn."""
    return alt.concat(*(_price(facts, name) for name in facts.drawn), columns=2).resolve_scale(
        y="independent", x="independent"
    )


def _price(facts: Facts, name: str) -> Picture:
    """One instrument; a print beyond the picture is a triangle at its edge."""
    prices = facts.prices.filter(pl.col("instrument_id") == name)
    outliers = facts.outliers.filter(pl.col("instrument_id") == name)
    low, high = prices.select(low=pl.col("price").min(), high=pl.col("price").max()).row(0)
    low, high = (0.0, 1.0) if low is None else (low, high)
    pad = max((high - low) * 0.12, abs(high) * 0.0005)
    scale = alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False)
    y = alt.Axis(tickCount=4)
    x = _clock("moment:T")
    line = (
        alt.Chart(prices)
        .mark_line(color=BLUE, strokeWidth=1.2)
        .encode(x, alt.Y("price:Q", title=None, scale=scale, axis=y))
    )
    edge = outliers.with_columns(
        pl.col("price").clip(low - pad * 0.8, high + pad * 0.8).alias("shown"),
        pl.when(pl.col("deviation_pct") > 0)
        .then(pl.lit("triangle-up"))
        .otherwise(pl.lit("triangle-down"))
        .alias("form"),
    )
    marks = (
        alt.Chart(edge)
        .mark_point(filled=True, color=RED, size=55, opacity=0.9)
        .encode(
            x,
            alt.Y("shown:Q", title=None, scale=scale, axis=y),
            alt.Shape("form:N", scale=None, legend=None),
            tooltip=["moment:T", "price", "reference", alt.Tooltip("deviation_pct", format=".1f")],
        )
    )
    title = _title(f"{name}: {_counted(outliers.height, 'outlier')}")
    return alt.layer(line, marks).properties(width=WIDE // 2 - 60, height=110, title=title)


def _lateness(facts: Facts) -> Picture:
    return (
        alt.Chart(facts.lateness)
        .mark_bar()
        .encode(
            alt.X("trades:Q", title="trades", axis=alt.Axis(tickCount=6)),
            alt.Y("lateness:N", title="behind the newest event",
                  axis=alt.Axis(labelExpr="slice(datum.label, 2)")),
            alt.Color("missed:N", legend=alt.Legend(orient="bottom", columns=2),
                      scale=alt.Scale(domain=list(MISSED), range=list(MISSED.values()))),
            tooltip=["missed", "trades"],
        )
        .properties(width=WIDE // 2 - 140, height=alt.Step(28))
    )  # fmt: skip


def _rejected(facts: Facts) -> Picture:
    base = alt.Chart(facts.rejected).encode(
        alt.Y("code:N", title=None, sort="-x"),
        alt.X("rows:Q", title="rejected records", axis=alt.Axis(tickCount=6)),
    )
    bars = base.mark_bar().encode(
        alt.Color("dataset:N", scale=alt.Scale(scheme="tableau10")),
        tooltip=["dataset", "code", "rows"],
    )
    numbers = base.mark_text(align="left", dx=4, color=MUTED).encode(alt.Text("rows:Q", format=","))
    return alt.layer(bars, numbers).properties(width=WIDE // 2 - 160, height=alt.Step(CELL))


def _volume(facts: Facts) -> Picture:
    day = alt.Chart(facts.volume.filter(pl.col("is_day")))
    usual = alt.Chart(facts.volume.filter(~pl.col("is_day")))
    x = alt.X("half_hour:O", title="half hour, UTC", axis=alt.Axis(labelAngle=-45))
    bars = day.mark_bar(color="#93c5fd").encode(
        x,
        alt.Y("share_pct:Q", title="% of the day's notional"),
        tooltip=["half_hour", alt.Tooltip("share_pct", format=".1f")],
    )
    ticks = usual.mark_tick(color=ORANGE, thickness=3).encode(x, alt.Y("share_pct:Q"))
    return alt.layer(bars, ticks).properties(width=WIDE - 80, height=180)


def _angle(size: int) -> int:
    return 0 if size >= 70 else -90
