"""What a flow does about expectations, as a function of plain data: see `ticklake.flows`."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticklake.flow_errors import ExpectationsBroken, final_errors

if TYPE_CHECKING:
    from checks.expectations.judge import Verdict

log = logging.getLogger(__name__)


def expect(tables: Sequence[str] = ()) -> dict[str, Any]:
    """Judge published tables (all of gold and silver if none is named) and write Data Docs.

    Returns {"tables", "expectations", "failed", "findings", "docs"}, the last the link to the site.
    Raises AirflowFailException naming what does not hold: trying again would not mend it.
    """
    from checks import expectations
    from lake.settings import load_settings

    with final_errors():
        settings = load_settings()
        suites = expectations.expect(settings, tables, docs=True)
    index = (expectations.site(settings) / "index.html").as_uri()
    findings = [(suite.table, verdict) for suite in suites for verdict in suite.findings]
    for table, verdict in findings:
        log.warning("finding: %s: %s (%s)", table, verdict.rule.says, verdict.unexpected)
    broken = [(suite.table, verdict) for suite in suites for verdict in suite.broken]
    with final_errors():
        _refuse(broken, index)
    judged = sum(len(suite.verdicts) for suite in suites)
    log.info("%d expectations of %d tables hold; %s", judged, len(suites), index)
    return {
        "tables": len(suites),
        "expectations": judged,
        "failed": 0,
        "findings": len(findings),
        "docs": index,
    }


def _refuse(broken: "Sequence[tuple[str, Verdict]]", index: str) -> None:
    if broken:
        lines = "\n".join(
            f"  {table}: {verdict.rule.says}: {verdict.unexpected} unexpected {verdict.note}; "
            f"see {verdict.rule.wrong_rows}"
            for table, verdict in broken
        )
        raise ExpectationsBroken(f"{len(broken)} expectations do not hold:\n{lines}\n{index}")
