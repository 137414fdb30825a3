"""ticklake expect: does what is published hold what is expected of it?"""

from typing import Annotated, Any

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(expect)


def expect(
    tables: Annotated[
        list[str] | None, typer.Argument(help="gold.candles_1m or candles_1m; all if none is given")
    ] = None,
    json: Annotated[bool, JSON] = False,
    docs: Annotated[bool, typer.Option("--docs", help="write Data Docs, a page per table")] = False,
) -> None:
    """Judge published tables by their suites of expectations; exit 1 if one fails."""
    from checks import expectations

    settings = load_settings()
    try:
        wanted = expectations.chosen(settings, tables or ())
        with console.progress("loading Great Expectations", len(wanted)) as bar:
            suites = expectations.expect(
                settings, wanted, docs=docs, on_table=lambda table: bar.advance(label=table)
            )
    except expectations.UnknownTable as error:
        raise console.stop(str(error), 2) from None
    index = expectations.site(settings) / "index.html" if docs else None
    if json:
        told = [expectations.told(suite) for suite in suites]
        console.as_json({"docs": index.as_uri() if index else None, "suites": told})
    else:
        _show(suites)
        if index:
            console.out.print(f"Data Docs: {index.as_uri()}", soft_wrap=True)
    broken = sum(len(suite.broken) for suite in suites)
    if broken:
        raise console.stop(f"{broken} expectations do not hold")


def _show(suites: list[Any]) -> None:
    console.table(
        "Expectations",
        ["suite", "expectations", "passed", "failed", "findings", "seconds"],
        [
            (
                suite.table,
                len(suite.verdicts),
                sum(verdict.passed for verdict in suite.verdicts),
                len(suite.broken),
                len(suite.findings),
                round(suite.seconds, 2),
            )
            for suite in suites
        ],
    )
    for suite in suites:
        for verdict in (*suite.broken, *suite.findings):
            what = "failed" if verdict in suite.broken else "finding"
            count = "" if verdict.unexpected is None else f"{verdict.unexpected:,} unexpected; "
            lines = (
                f"{what}: {suite.table}: {verdict.rule.says}",
                f"  {count}{verdict.note + '; ' if verdict.note else ''}{verdict.rule.source}",
                f"  {verdict.rule.wrong_rows}",
            )
            console.out.print("\n".join(lines), soft_wrap=True, markup=False)
