"""ticklake sentiment-impact: does what posts say move the volatility of the next session?"""

import dataclasses
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sentiment_impact)


def sentiment_impact(json: Annotated[bool, JSON] = False) -> None:
    """Regress realized volatility on the sentiment of the session before, and say what it adds."""
    from lake import lakehouse
    from lake.layout import layout
    from ml import sentiment_impact as impact

    with lakehouse.connect(layout(load_settings())) as conn:
        found = impact.impacts(impact.read(conn))
    if json:
        console.as_json([dataclasses.asdict(one) | {"verdict": one.verdict} for one in found])
        return
    console.table(
        "ln RV on its own past, and on sentiment and number of posts of the session before",
        ["instrument", "n", "gamma sentiment", "t", "gamma ln posts", "t", "adj. R²", "gain",
         "QLIKE", "without", "DM p", "verdict"],
        [
            (
                one.instrument,
                one.n,
                *(_rounded(value, 3) for value in (one.gamma_sentiment, one.t_sentiment)),
                *(_rounded(value, 3) for value in (one.gamma_posts, one.t_posts)),
                *(_rounded(value, 4) for value in (one.adj_r2, one.adj_r2_gain)),
                *(_rounded(value, 4) for value in (one.qlike, one.qlike_without, one.dm_p)),
                one.verdict,
            )
            for one in found
        ],
    )  # fmt: skip
    console.out.print(
        f"Newey-West errors, {impact.LAGS} lags. {found[0].instrument}: {found[0].verdict}."
    )


def _rounded(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"
