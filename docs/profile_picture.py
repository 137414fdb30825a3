"""Draws docs/profile.svg from the newest day of a lake: `python docs/profile_picture.py`.

Of the lake that LAKE_URI names; the picture in the repository is of five generated days.
"""

from dataclasses import replace
from pathlib import Path

import altair as alt
import polars as pl

from checks.profile import pictures
from checks.profile.facts import facts
from lake.settings import load_settings


def main() -> None:
    """Conditions of the newest ten days above, the day's activity and its prices below."""
    found = facts(load_settings())
    newest = found.conditions["day"].unique().sort().tail(8)
    found = replace(
        found,
        conditions=found.conditions.filter(pl.col("day").is_in(newest.implode())),
        drawn=found.drawn[1:3],
    )
    chart = alt.vconcat(
        pictures.conditions(found), pictures.activity(found), pictures.prices(found)
    ).resolve_scale(color="independent", shape="independent")
    pictures.dressed(chart).save(Path(__file__).with_name("profile.svg"))


if __name__ == "__main__":
    main()
