"""What a flow does about expectations, as a function of plain data: see `ticklake.flows`."""

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)


def expect(tables: Sequence[str] = ()) -> dict[str, Any]:
    """Judge published tables (all of gold and silver if none is named) and write Data Docs.

    Returns {"tables", "expectations", "failed", "findings", "docs"}, the last the link to the site.
    Raises AirflowFailException naming what does not hold: trying again would not mend it.
    """
    from airflow.sdk.exceptions import AirflowFailException

    from checks import expectations
    from lake.settings import load_settings

    settings = load_settings()
    try:
        suites = expectations.expect(settings, tables, docs=True)
    except expectations.UnknownTable as error:
        raise AirflowFailException(str(error)) from error
    index = (expectations.site(settings) / "index.html").as_uri()
    findings = [(suite.table, verdict) for suite in suites for verdict in suite.findings]
    for table, verdict in findings:
        log.warning("finding: %s: %s (%s)", table, verdict.rule.says, verdict.unexpected)
    broken = [(suite.table, verdict) for suite in suites for verdict in suite.broken]
    if broken:
        lines = "\n".join(
            f"  {table}: {verdict.rule.says}: {verdict.unexpected} unexpected {verdict.note}; "
            f"see {verdict.rule.wrong_rows}"
            for table, verdict in broken
        )
        raise AirflowFailException(f"{len(broken)} expectations do not hold:\n{lines}\n{index}")
    judged = sum(len(suite.verdicts) for suite in suites)
    log.info("%d expectations of %d tables hold; %s", judged, len(suites), index)
    return {
        "tables": len(suites),
        "expectations": judged,
        "failed": 0,
        "findings": len(findings),
        "docs": index,
    }
