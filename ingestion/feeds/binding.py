"""One file's columns, found under the names that its feed knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingestion.feeds.mapping import TIME, Feed, FileRefused, TimeRule


@dataclass(frozen=True)
class Bound:
    """Where each canonical column of a feed stands in one file.

    `columns` maps a canonical column to its index in the file, `labels` to the file's name for it.
    `parameters` hold for every row. `width` is the number of columns in the file. `unit` is what
    its times count in, where only the file itself could tell. `names` are all columns of the file.
    """

    feed: Feed
    columns: Mapping[str, int]
    labels: Mapping[str, str]
    parameters: Mapping[str, str]
    width: int
    unit: str | None = None
    names: tuple[str, ...] = ()

    @property
    def time(self) -> TimeRule:
        """How this file writes the event time: a column named like the canonical one counts ns."""
        rule, contract = self.feed.time, self.feed.contract
        if self.feed.columns is None and self.labels.get(TIME) == TIME:
            return rule.model_copy(update={"unit": "ns"})
        return rule.model_copy(update={"unit": self.unit or rule.unit or contract.epoch_unit})

    def constant(self, column: str) -> str | None:
        """The text that stands for a column in every row, if there is one."""
        return self.parameters.get(column, self.feed.constants.get(column))


def bind_indexes(feed: Feed, parameters: Mapping[str, str]) -> Bound:
    """Columns of a file without a header."""
    indexes = {column: int(index) for index, column in (feed.columns or {}).items()}
    width = feed.width or max(indexes.values()) + 1
    labels = {column: f"column {index}" for column, index in indexes.items()}
    return Bound(feed, indexes, labels, parameters, width)


def bind_names(
    feed: Feed, names: Sequence[str], parameters: Mapping[str, str], where: str
) -> Bound:
    """Columns of a file with a header, or of a Parquet file.

    Raises FileRefused when the file has a column that the mapping does not know, lacks one that
    may never be null, or has two for the same canonical column: the mapping does not speak of this
    file, and quarantining every row of it would help nobody.
    """
    if len(set(names)) < len(names):
        raise FileRefused(f"{where}: a column name is repeated in {list(names)}")
    targets = targets_of(feed)
    unknown = [name for name in names if name not in targets and not ignored(feed, name)]
    if unknown:
        raise FileRefused(
            f"{where}: feed {feed.name} does not know the columns {unknown}; it knows "
            f"{sorted(targets)}. Map them, or list them under `ignore`"
        )
    columns: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in targets:
            if targets[name] in columns:
                raise FileRefused(f"{where}: two columns give {targets[name]}: {list(names)}")
            columns[targets[name]] = index
    labels = {column: names[index] for column, index in columns.items()}
    bound = Bound(feed, columns, labels, parameters, len(names), names=tuple(names))
    absent = [
        column.name
        for column in feed.contract.columns
        if column.never_null and column.name not in columns and bound.constant(column.name) is None
    ]
    if absent:
        raise FileRefused(
            f"{where}: no column gives {', '.join(absent)}, which {feed.dataset} cannot do "
            f"without; the file has {list(names)}"
        )
    return bound


def targets_of(feed: Feed) -> dict[str, str]:
    """File column -> canonical column; the contract's wire and canonical names if not declared."""
    if feed.columns is not None:
        return {str(name): column for name, column in feed.columns.items()}
    contract = feed.contract
    return {name: column.name for column in contract.columns for name in (column.wire, column.name)}


def ignored(feed: Feed, name: str) -> bool:
    """Does the feed leave that file column out?"""
    return feed.ignore == "all" or name in feed.ignore
