"""The feed mapping: a declaration of what a file's columns, numbers and times mean.

It is judged as a whole before any file is opened: a mapping that names a column the contract does
not have, or leaves out one that may never be null, never gets to touch data.
"""

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from contracts import registry
from contracts.base import Contract
from ingestion.feeds.judge import DATE, TIME, judge
from ingestion.feeds.rules import FileNameRule, Part, TimeRule

__all__ = [
    "DATE", "TIME", "Feed", "FeedError", "FileNameRule", "FileRefused", "TimeRule", "load_feed",
]  # fmt: skip

NAME = re.compile(r"[a-z][a-z0-9_]*")


class FeedError(ValueError):
    """A mapping is wrong or does not exist; the message says where and what to change."""


class FileRefused(ValueError):
    """A file does not fit its feed; nothing more of it was landed."""


class Feed(Part):
    """One feed: where its records go and how to read them. See docs/feeds.md."""

    name: str
    dataset: str
    format: Literal["csv", "parquet", "csv_or_parquet", "jsonl", "dbn"]
    description: str = ""
    source: str = Field("", description="source name of the rows; the feed's name if not given")
    separator: str = ","
    header: bool = True
    header_lines: tuple[str, ...] = Field((), description="first lines that are no row after all")
    width: int | None = Field(None, ge=1, description="columns in a file without a header")
    schemas: tuple[str, ...] = Field((), description="schemas that a DBN file may have")
    columns: dict[str | int, str] | None = Field(
        None, description="file column (name, or index from 0) -> canonical column"
    )
    ignore: tuple[str, ...] | Literal["all"] = Field((), description="file columns not taken")
    constants: dict[str, str] = Field({}, description="column -> text that holds for every row")
    values: dict[str, dict[str, str | None]] = Field(
        {}, description="column -> code in the file -> value"
    )
    nulls: tuple[str, ...] = ("",)
    decimal_mark: Literal[".", ","] = "."
    scale: dict[str, int] = Field({}, description="column -> by what the file multiplied it")
    sides: Literal["both", "given"] = "both"
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
        judge(self)
        return self


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
