"""A process in which one more contract file exists: what the house makes of it, as JSON.

Run as a module with the folder of the new file and a scratch folder. Nothing but that file is
given to it; the dbt project is a copy, since the committed one must not learn of the newcomer.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import contracts
from contracts import registry
from contracts.derive import dbt_sources, docs
from contracts.derive.arrow import table_schema
from contracts.derive.wire import struct
from ingestion.feeds.catalog import known_feeds
from lake.settings import PROJECT
from tests import desk as desks

GOOD = {"symbol": "BTC", "created": "2025-10-02T12:00:00Z", "rate": "0.0001", "tags": ["perp"]}
BAD = {**GOOD, "rate": "much"}


def main(folder: Path, scratch: Path) -> dict[str, Any]:
    """Extend the contracts by `folder`, use the newcomer everywhere, and tell what was seen."""
    contracts.__path__.append(str(folder))
    contract = registry.for_topic("reference.funding.v1")
    project = scratch / "dbt"
    shutil.copytree(PROJECT / "dbt", project, ignore=shutil.ignore_patterns("target", "logs"))
    dbt_sources.write(project)
    desks.PROJECT = scratch
    desk = desks.Desk(scratch / "lake", scratch / "target")
    landed = desk.land("funding", [GOOD, BAD, b"no json"], unit="kafka:test/funding/0")
    desk.build()
    return {
        "dataset": contract.dataset,
        "columns": {f.name: str(f.type) for f in table_schema(contract)},
        "decodes": list(struct(contract).__struct_encode_fields__),
        "feeds": [name for name in known_feeds(desk.settings) if name.endswith("_funding")],
        "sources": (project / dbt_sources.SOURCES).read_text().count("name: funding"),
        "documented": "## funding (version 1)" in docs.docs_page(),
        "landed": [landed.ok, landed.rejected, landed.by_code],
        "quarantine": desk.query("select reject_code from quarantine.funding order by position"),
        "account": desk.query(
            "select unit, consumed, ok_rows, rejected_rows, difference, has_right_positions "
            "from audit.account_landing where dataset = 'funding'"
        ),
        "bronze": desk.query("select tags, rate::varchar from bronze.funding", "warehouse"),
    }


if __name__ == "__main__":
    seen = main(Path(sys.argv[1]), Path(sys.argv[2]))
    Path(sys.argv[2], "seen.json").write_text(json.dumps(seen))
