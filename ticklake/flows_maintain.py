"""What the `maintain` flow does, as functions whose results fit an XCom; see `ticklake.flows`."""

import logging
from dataclasses import asdict
from typing import Any

from ticklake.flow_errors import final_errors

log = logging.getLogger(__name__)


def maintain(*, dry_run: bool = False) -> list[dict[str, Any]]:
    """Maintain the lake; one entry per table that something was done to."""
    from lake.maintenance import maintain as run
    from lake.settings import load_settings

    with final_errors():
        done = run(load_settings(), dry_run=dry_run)
    for one in done:
        if one.note or not one.is_nothing:
            log.info("%s%s", "would be done: " if dry_run else "", one)
    return [asdict(one) for one in done if not one.is_nothing]


def verify(*, deep: bool = False) -> dict[str, int]:
    """Look the lake through. Raises AirflowFailException naming every damaged file."""
    from lake.damage import Damaged
    from lake.settings import load_settings
    from lake.verify_lake import verify as look

    with final_errors():
        found = look(load_settings(), deep=deep)
        if found.damage:
            raise Damaged("\n".join(str(finding) for finding in found.damage))
    return {"tables": found.tables, "files": found.files, "rows": found.rows}
