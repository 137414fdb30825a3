"""What the `replay_quarantine` flow does, as a function: plain data in and out, as in flows.py."""

import logging
from typing import Any

from ticklake.flow_errors import final_errors

log = logging.getLogger(__name__)

ALL = "all"


def replay(
    dataset: str = ALL,
    code: str = ALL,
    source: str | None = None,
    since: str | None = None,
    *,
    dry_run: bool = False,
) -> list[dict[str, Any]]:
    """Judge the open records of quarantine again and land those that pass.

    `since` is an ISO-8601 moment (UTC, where it has no offset). One entry per dataset with open
    records, as `ticklake quarantine replay` prints it with its option for JSON.

    Raises AirflowFailException on a wrong parameter: trying again would not mend it.
    """
    from ingestion.replay import replay as judge_again
    from lake.quarantine import Wanted
    from lake.settings import load_settings
    from ticklake.commands.quarantine import told
    from ticklake.flows_asked import moment_of

    with final_errors():
        settings = load_settings()
        wanted = Wanted(
            () if dataset == ALL else (dataset,),
            None if code == ALL else code,
            source or None,
            moment_of(since),
        )
        found = [told(replayed) for replayed in judge_again(settings, wanted, dry_run=dry_run)]
    verb = "would pass" if dry_run else "landed"
    for entry in found:
        still = ", ".join(f"{why} {n}" for why, n in entry["still_rejected"].items()) or "none"
        log.info(
            "%s: %d looked at, %d %s, still rejected: %s, unreadable: %d; hours touched: %s",
            entry["dataset"], entry["examined"], entry["passed"], verb, still, entry["unreadable"],
            ", ".join(entry["hours"]) or "none",
        )  # fmt: skip
        for note in entry["notes"]:
            log.warning("%s", note)
    if not found:
        log.info("nothing in quarantine is open and wanted")
    return found
