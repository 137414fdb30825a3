"""The feed mapping: a declaration of what a file's columns, numbers and times mean.

It is judged as a whole before any file is opened: a mapping that names a column the contract does
not have, or leaves out one that may never be null, never gets to touch data.
"""

import re
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contracts import registry
from contracts.base import Contract

NAME = re.compile(r"[a-z][a-z0-9_]*")
DATE = "date"  # the one parameter that is not a column
TIME = "event_ts_ns"


class FeedError(ValueError):
    """A mapping is wrong or does not exist; the message says where and what to change."""


class FileRefused(ValueError):
    """A file does not fit its feed; nothing more of it was landed."""


class Part(BaseModel):
    """A part of a mapping: what is not declared here may not be written there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeRule(Part):
    """How the event time is written.

    any: ISO-8601 text, or an integer epoch in `unit` (the contract's, if not given); iso: text
    only; epoch: numbers only; midnight: numbers since midnight of the file's date in `zone`.
    Text without an offset is on the clock of `zone`, and rejected where no zone is declared.
    """

    kind: Literal["any", "iso", "epoch", "midnight"] = "any"
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str | None = None

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"'{zone}' is not an IANA time zone") from None
        return zone

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in ("epoch", "midnight") and self.unit is None:
            raise ValueError(f"kind {self.kind} needs a unit: s, ms, us or ns")
        if self.kind == "midnight" and self.zone is None:
            raise ValueError("kind midnight needs a zone, e.g. America/New_York")
        return self


class FileNameRule(Part):
    """What a file's name says. Named groups are canonical columns, or `date`.

    Patterns match from the start of the name, in any case; the first that matches counts.
    """

    patterns: tuple[str, ...] = Field(min_length=1)
    upper: tuple[str, ...] = ()
    date_format: str = "%Y%m%d"

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return patterns

    def groups(self) -> set[str]:
        """Names that some pattern can find."""
        return {name for pattern in self.patterns for name in re.compile(pattern).groupindex}

    def read(self, name: str) -> dict[str, str]:
        """What the name says; empty when no pattern matches."""
        for pattern in self.patterns:
            found = re.match(pattern, name, re.IGNORECASE)
            if found:
                return {group: text for group, text in found.groupdict().items() if text}
        return {}


class Feed(Part):
    """One feed: where its records go and how to read them. See ingestion/README.md."""

    name: str
    dataset: str
    format: Literal["csv", "parquet", "csv_or_parquet", "jsonl"]
    description: str = ""
    source: str = Field("", description="source name of the rows; the feed's name if not given")
    separator: str = ","
    header: bool = True
    width: int | None = Field(None, ge=1, description="columns in a file without a header")
    columns: dict[str | int, str] | None = Field(
        None, description="file column (name, or index from 0) -> canonical column"
    )
    ignore: tuple[str, ...] | Literal["all"] = Field((), description="file columns not taken")
    constants: dict[str, str] = {}
    values: dict[str, dict[str, str]] = Field({}, description="column -> code in the file -> value")
    nulls: tuple[str, ...] = ("",)
    scale: dict[str, int] = Field({}, description="column -> by what the file multiplied it")
    time: TimeRule = TimeRule()
    file_name: FileNameRule | None = None

    @property
    def contract(self) -> Contract:
        """The contract of the feed's dataset."""
        return registry.get(self.dataset)

    @property
    def indexed(self) -> bool:
        """Are columns named by their index, because the file has no header?"""
        return self.format == "csv" and not self.header

    def parameters(self) -> set[str]:
        """What the file's name, or whoever lands it, may say."""
        return self.file_name.groups() if self.file_name else set()

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a feed's name is lower case letters, digits and _")
        return name

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str) -> str:
        if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
            raise ValueError("the separator is one ASCII character, not a quote or line end")
        return separator

    @field_validator("scale")
    @classmethod
    def _powers_of_ten(cls, scale: dict[str, int]) -> dict[str, int]:
        for column, factor in scale.items():
            if not re.fullmatch("10+", str(factor)):
                raise ValueError(f"{column}: {factor} is not a power of ten")
        return scale

    @model_validator(mode="after")
    def _fits_its_contract(self) -> Self:
        if self.dataset not in registry.all_contracts():
            known = ", ".join(registry.all_contracts())
            raise ValueError(f"dataset '{self.dataset}' has no contract; there are: {known}")
        _check_columns(self)
        _check_shape(self)
        _check_parameters(self)
        _check_supply(self)
        return self


def _check_columns(feed: Feed) -> None:
    kinds: dict[str, str] = {column.name: column.kind for column in feed.contract.columns}
    upper = feed.file_name.upper if feed.file_name else ()
    named = {
        "columns": list((feed.columns or {}).values()),
        "constants": list(feed.constants),
        "values": list(feed.values),
        "scale": list(feed.scale),
        "file_name.patterns": sorted(feed.parameters() - {DATE}),
        "file_name.upper": list(upper),
    }
    for where, names in named.items():
        for name in names:
            if name not in kinds:
                raise ValueError(
                    f"{where}: the contract of {feed.dataset} has no column '{name}'; "
                    f"it has: {', '.join(kinds)}"
                )
    for name in feed.scale:
        if kinds[name] != "decimal":
            raise ValueError(f"scale: {name} is {kinds[name]}, only decimals have a scale")


def _check_shape(feed: Feed) -> None:
    keys = list(feed.columns or {})
    if feed.indexed:
        if not keys or not all(isinstance(key, int) and key >= 0 for key in keys):
            raise ValueError("columns: without a header they are indexes from 0, e.g. 0: price")
        if feed.width is not None and feed.width <= max(int(key) for key in keys):
            raise ValueError(f"width: {feed.width} columns cannot hold index {max(keys)}")
        targets = list((feed.columns or {}).values())
        if len(set(targets)) < len(targets):
            raise ValueError("columns: two indexes give the same canonical column")
    else:
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("columns: names are wanted here, an index needs header: false")
        if feed.width is not None:
            raise ValueError("width: only a csv without a header needs it")
    if feed.format == "jsonl" and feed.columns is None:
        extras = (feed.constants, feed.values, feed.scale, feed.ignore, feed.file_name)
        if any(extras) or feed.time != TimeRule() or feed.nulls != ("",):
            raise ValueError("jsonl without columns is the wire format and takes nothing else")


def _check_parameters(feed: Feed) -> None:
    twice = feed.parameters() & {*feed.constants, *(feed.columns or {}).values()}
    twice |= set(feed.constants) & set((feed.columns or {}).values())
    if twice:
        raise ValueError(f"{', '.join(sorted(twice))}: given twice (columns, constants, file name)")
    if feed.time.kind == "midnight" and DATE not in feed.parameters():
        raise ValueError("time: kind midnight needs the group (?P<date>...) in file_name.patterns")


def _check_supply(feed: Feed) -> None:
    if feed.columns is None:
        return  # the contract's own names; each file is checked when it is opened
    given = {*feed.columns.values(), *feed.constants, *feed.parameters()}
    for column in feed.contract.columns:
        if column.never_null and column.name not in given:
            raise ValueError(
                f"{feed.dataset}.{column.name} may never be null, and no column, constant or "
                "file name gives it"
            )


def load_feed(path: Path, name: str) -> Feed:
    """The mapping in a YAML file. Raises FeedError that names the file and every wrong entry."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FeedError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise FeedError(f"{path}: a mapping is a set of `key: value` lines")
    try:
        return Feed.model_validate({**content, "name": name})
    except ValidationError as error:
        lines = "\n".join(f"  {_place(problem)}{problem['msg']}" for problem in error.errors())
        raise FeedError(f"{path}: the mapping of feed '{name}' is wrong:\n{lines}") from None


def _place(problem: Any) -> str:
    where = ".".join(str(step) for step in problem["loc"])
    return f"{where}: " if where else ""
