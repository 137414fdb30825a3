"""Landing refuses to start where the contract checks are switched off (invariant 9)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LAND = """
import sys
from ingestion.check import ContractsDisabled
from ingestion.land import land_inbox, land_topics
from lake.settings import load_settings
settings = load_settings({"LAKE_URI": sys.argv[1], "TICKLAKE_KAFKA_BOOTSTRAP": "127.0.0.1:1"})
for land in (land_topics, land_inbox):
    try:
        land(settings)
    except ContractsDisabled as refused:
        print(land.__name__, "refused:", refused)
"""


@pytest.mark.parametrize(
    "variable", ["PANDERA_VALIDATION_ENABLED=False", "PANDERA_VALIDATION_DEPTH=SCHEMA_ONLY"]
)
def test_nothing_lands_unchecked(variable: str, tmp_path: Path) -> None:
    name, _, value = variable.partition("=")
    done = subprocess.run(
        [sys.executable, "-c", LAND, str(tmp_path / "lake")],
        cwd=REPOSITORY,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=True,
    )
    for land in ("land_topics", "land_inbox"):
        assert f"{land} refused: contract checks are switched off" in done.stdout
    assert not (tmp_path / "lake").exists()
