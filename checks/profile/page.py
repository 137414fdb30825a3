"""The profile as one HTML file that asks no network for anything.

Pictures stand in it as SVG, which needs no script; where scripts run, they become live charts with
tooltips.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from checks.profile.facts import LONGEST, Facts
from checks.profile.pictures import Picture

_COLUMNS = {
    "trades": "trades",
    "quotes": "quotes",
    "completeness_pct": "% complete",
    "quote_completeness_pct": "% quoted",
    "hft_gaps": "HFT gaps",
    "fast_gaps": "fast",
    "standard_gaps": "standard",
    "longest_gap_ms": "longest, ms",
    "outliers": "outliers",
    "trade_duplicates": "copies",
    "conflicts": "conflicts",
    "corrections": "corrections",
    "cancels": "cancels",
    "late_trades": "late",
}

# vega-embed shows each picture live in the place of its SVG, and leaves that if it fails.
_LIVE = """
const options = {actions: false, renderer: "svg", vega, vegaLite};
for (const [name, spec] of Object.entries(window.PICTURES)) {
  const place = document.getElementById("picture-" + name);
  const live = document.createElement("div");
  vegaEmbed(live, spec, options).then(() => place.replaceChildren(live)).catch(console.error);
}
"""


def page(facts: Facts, charts: dict[str, Picture]) -> str:
    """The HTML of the profile; names of instruments and reasons are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = _number
    specs = {name: chart.to_dict(format="vega-lite") for name, chart in charts.items()}
    return environment.get_template("page.html").render(
        facts=facts,
        longest=LONGEST,
        tiles=_tiles(facts),
        reasons=_reasons(facts),
        columns=_COLUMNS,
        shown=_shown(facts),
        drawn={name: Markup(vl_convert.vegalite_to_svg(spec)) for name, spec in specs.items()},
        script=Markup(_script(specs)),
    )


def _script(specs: dict[str, dict[str, Any]]) -> str:
    # In a script element only "<" could end it.
    data = json.dumps(specs, default=str).replace("<", "\\u003c")
    live = vl_convert.javascript_bundle(_LIVE).replace("</script", "<\\/script")
    return f"window.PICTURES = {data};\n{live}"


def _tiles(facts: Facts) -> list[tuple[str, str]]:
    total = facts.instruments.select(pl.col(pl.Int64).sum()).row(0, named=True)
    active = facts.instruments.filter(pl.col("trades") + pl.col("quotes") > 0).height
    standing = facts.conditions.filter(pl.col("day") == f"{facts.day}")
    poor = standing.filter(pl.col("condition") != "available").height
    return [
        ("datasets not available", f"{poor} of {standing.height}"),
        ("instruments", f"{active:,}"),
        ("trades", f"{total['trades']:,}"),
        ("quotes", f"{total['quotes']:,}"),
        ("standard gaps", f"{total['standard_gaps']:,}"),
        ("outliers", f"{total['outliers']:,}"),
        ("copies", f"{total['trade_duplicates'] + total['quote_duplicates']:,}"),
        ("late for their minute", f"{total['late_1m']:,}"),
    ]


def _reasons(facts: Facts) -> list[dict[str, Any]]:
    said = facts.conditions.filter(
        pl.col("day") == f"{facts.day}", pl.col("condition") != "available"
    )
    return said.to_dicts()


def _shown(facts: Facts) -> list[dict[str, Any]]:
    names = [*facts.largest, *(name for name in facts.worst if name not in facts.largest)]
    rows = {row["instrument_id"]: row for row in facts.instruments.to_dicts()}
    return [rows[name] for name in names]


def _number(value: float | Decimal | None) -> str:
    if value is None:
        return ""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
