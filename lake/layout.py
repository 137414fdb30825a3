"""Where things lie. The only place that knows the names of folders and files."""

from dataclasses import dataclass
from pathlib import Path

from lake.settings import Settings


@dataclass(frozen=True)
class Layout:
    """Paths of one lake."""

    root: Path
    local: Path

    def bronze(self, dataset: str) -> Path:
        """Delta table of a dataset's landed records."""
        return self.root / "bronze" / dataset

    @property
    def ledger(self) -> Path:
        """Delta table with one row per bronze commit and unit."""
        return self.root / "ledger" / "commits"

    @property
    def failures(self) -> Path:
        """Delta table with one row per failure of a flow's task, and per mending of one."""
        return self.root / "ledger" / "failures"

    @property
    def receipts(self) -> Path:
        """One small file per delivered unit: when it was first offered."""
        return self.root / "ledger" / "receipts"

    @property
    def speed(self) -> Path:
        """Candles that were made while records landed, and what they were made from."""
        return self.root / "speed"

    def table(self, schema: str, name: str) -> Path:
        """Delta table of a published model; schema is silver, gold or audit."""
        return self.root / schema / name

    @property
    def published(self) -> Path:
        """Publication records, numbered."""
        return self.root / "published"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file private to `dbt build`."""
        return self.local / "warehouse.duckdb"

    @property
    def lakehouse(self) -> Path:
        """The small DuckDB file of views that people open."""
        return self.local / "lakehouse.duckdb"

    @property
    def expectations(self) -> Path:
        """Data Docs of the last judgement, a static site."""
        return self.local / "expectations"

    def active_candles(self, dataset: str) -> Path:
        """The candles of a dataset as they stand, from the process that lands it."""
        return self.local / "run" / f"candles.{dataset}.arrow"

    def lock(self, name: str) -> Path:
        """A lock file shared by the processes of this machine."""
        return self.local / "run" / f"{name}.lock"


def layout(settings: Settings) -> Layout:
    """Layout of the lake that the settings name."""
    return Layout(settings.root, settings.local)
