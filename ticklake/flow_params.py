"""What the trigger forms ask, defined once. Airflow reads this with every DAG: keep it light."""

from airflow.sdk import Param

from contracts.names import dataset_names
from lake.project import PROJECT

FOLDERS = {"gold": "gold", "custom": "gold", "silver": "silver"}
"""Folder of models -> schema of its tables."""


def table_names() -> list[str]:
    """Tables of gold and silver that the dbt project has models of, as schema.name."""
    models = PROJECT / "dbt" / "models"
    return sorted(
        f"{schema}.{path.stem}"
        for folder, schema in FOLDERS.items()
        for path in (models / folder).rglob("*.sql")
    )


def day(title: str, description: str) -> Param:
    """One UTC day, or nothing."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        examples=["2013-10-08"],
        title=title,
        description=description,
    )


def datasets(description: str) -> Param:
    """Any number of datasets, out of those with a contract."""
    return _several(dataset_names(), "Datasets", f"{description} Empty: all of them.")


def tables(description: str) -> Param:
    """Any number of tables of gold and silver."""
    return _several(table_names(), "Tables", f"{description} Empty: all that are published.")


def full_refresh() -> Param:
    """Rebuild everything, or only what changed."""
    return switch(
        "Full refresh",
        "Rebuild every table whole, not only what changed. Gives the same rows, later.",
    )


def dry_run(description: str) -> Param:
    """Say what would be done, and change nothing."""
    return switch("Dry run", f"{description} Nothing is changed.")


def switch(title: str, description: str) -> Param:
    """On or off; off unless asked for."""
    return Param(False, type="boolean", title=title, description=description)


def _several(names: list[str], title: str, description: str) -> Param:
    # `examples` is what makes the form a list to choose from, `enum` what refuses other names.
    return Param(
        [],
        type="array",
        items={"type": "string", "enum": names},
        uniqueItems=True,
        examples=names,
        title=title,
        description=description,
    )
