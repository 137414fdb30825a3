"""Names of the datasets, for those who must not wait for pandera: Airflow reads its DAGs often."""

from pathlib import Path

VERSIONS = Path(__file__).parent / "versions"


def dataset_names() -> list[str]:
    """Every dataset with a published version, in alphabetical order."""
    return sorted({path.name.partition(".")[0] for path in VERSIONS.glob("*.json")})
