"""Draws docs/market.svg from a generated day: `python docs/market.py`."""

from datetime import date
from pathlib import Path

import altair as alt
import polars as pl

from ingestion.generate import quotes, trades
from ingestion.generate.faults import FAULTS
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import UNIT, universe

DAY = date(2025, 10, 2)
PLAN = Plan(seed=7, days=(DAY,), quotes=400_000, trades=300_000, securities=20_000)
STOCK, WINDOW_S, FROM_S = "AAPL", 60, 1_500
INK, BLUE, ORANGE, GREY = "#1f2937", "#2563eb", "#ea580c", "#9ca3af"


def main() -> None:
    """Four panels: a book with its trades, a day's volume, spreads, and where faults end."""
    sent = pl.concat(quotes.rows(PLAN, DAY)).sort("event_us", maintain_order=True)
    traded = pl.concat(trades.rows(PLAN, DAY)).filter(pl.col("fault").is_null()).sort("event_us")
    upper = alt.hconcat(_book(sent, traded), _volume(traded)).resolve_scale(color="independent")
    lower = alt.hconcat(_spreads(sent), _faults()).resolve_scale(color="independent")
    chart = alt.vconcat(upper, lower, background="white").resolve_scale(color="independent")
    chart.configure_view(stroke=None).configure_axis(
        labelColor=INK, titleColor=INK, gridColor="#e5e7eb", domainColor=GREY, tickColor=GREY
    ).configure_title(color=INK, anchor="start", fontSize=13).save(
        Path(__file__).with_name("market.svg")
    )


def _book(sent: pl.DataFrame, traded: pl.DataFrame) -> alt.LayerChart:
    opened, _ = session_us(DAY)
    second = ((pl.col("event_us") - opened) / 1e6 - FROM_S).alias("second")
    inside = (pl.col("instrument_id") == STOCK) & second.is_between(0, WINDOW_S)
    sides = sent.filter(inside, pl.col("side").is_null()).select(
        second, (pl.col("bid_price", "offer_price") / UNIT)
    )
    shown = sides.unpivot(index="second", variable_name="side", value_name="price").drop_nulls()
    prints = traded.filter(inside).select(second, price=pl.col("price") / UNIT)
    x = alt.X("second:Q", title="seconds", scale=alt.Scale(domain=[0, WINDOW_S]))
    y = alt.Y("price:Q", title="USD", scale=alt.Scale(zero=False))
    dots = alt.Chart(shown).mark_tick(thickness=1.5, size=5, orient="horizontal")
    coloured = dots.encode(
        x=x,
        y=y,
        color=alt.Color(
            "side:N",
            scale=alt.Scale(domain=["bid_price", "offer_price"], range=[BLUE, ORANGE]),
            legend=None,
        ),
    )
    points = alt.Chart(prints).mark_point(color=INK, size=14, filled=True, opacity=0.7)
    title = f"{STOCK}: bids (blue), offers (orange), trades (black)"
    return (coloured + points.encode(x=x, y=y)).properties(width=430, height=210, title=title)


def _volume(traded: pl.DataFrame) -> alt.Chart:
    opened, _ = session_us(DAY)
    stocks = universe(PLAN).frame.filter(kind="stock")["instrument_id"]
    bins = (
        traded.filter(pl.col("instrument_id").is_in(stocks.implode()))
        .group_by(minute=(pl.col("event_us") - opened) // 300_000_000 * 5)
        .agg(volume=pl.col("quantity").sum() / 1e6)
    )
    return (
        alt.Chart(bins)
        .mark_bar(color=BLUE, opacity=0.8)
        .encode(
            x=alt.X("minute:Q", title="minutes since the open", scale=alt.Scale(domain=[0, 390])),
            y=alt.Y("volume:Q", title="million shares"),
        )
        .properties(width=430, height=210, title="Volume in five minutes, eight stocks")
    )


def _spreads(sent: pl.DataFrame) -> alt.Chart:
    bid, offer = pl.col("bid_price"), pl.col("offer_price")
    shown = (
        sent.drop_nulls(["bid_price", "offer_price"])
        .join(universe(PLAN).frame.select("instrument_id", "segment"), on="instrument_id")
        .select("segment", bps=(20_000 * (offer - bid) / (offer + bid)).round(0))
        .group_by("segment", "bps")
        .len("quotes")
        .with_columns(share=pl.col("quotes") / pl.col("quotes").sum().over("segment"))
    )
    return (
        alt.Chart(shown.sort("segment", "bps"))
        .mark_line(interpolate="step")
        .encode(
            x=alt.X("bps:Q", title="dealer spread, bps", scale=alt.Scale(domain=[0, 52])),
            y=alt.Y("share:Q", title="share of the segment", axis=alt.Axis(format="%")),
            color=alt.Color("segment:N", title=None, legend=alt.Legend(orient="right")),
        )
        .properties(width=400, height=210, title="Dealer spreads by segment")
    )


def _faults() -> alt.Chart:
    shown = pl.DataFrame(
        {
            "kind": [fault.kind.replace("_", " ") for fault in FAULTS],
            "share": [fault.weight / 1000 for fault in FAULTS],
            "ends in": [fault.destination for fault in FAULTS],
        }
    )
    return (
        alt.Chart(shown)
        .mark_bar(opacity=0.85)
        .encode(
            y=alt.Y("kind:N", title=None, sort=shown["kind"].to_list()),
            x=alt.X("share:Q", title="share of trade messages", axis=alt.Axis(format=".1%")),
            color=alt.Color("ends in:N", legend=alt.Legend(orient="right")),
        )
        .properties(width=340, height=210, title="Faults at 5 %, and where each must end")
    )


if __name__ == "__main__":
    main()
