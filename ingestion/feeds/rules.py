"""Parts of a feed mapping: how times are written, and what a file's name says."""

import re
from datetime import datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SAMPLE = datetime(2025, 10, 2, 13, 14, 15)


class Part(BaseModel):
    """A part of a mapping: what is not declared here may not be written there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeRule(Part):
    """How the event time is written.

    any: ISO-8601 text, or an integer epoch in `unit` (the contract's, if not given); iso: text
    only; epoch: numbers only; midnight: numbers since midnight of the file's date in `zone`;
    format: text as `format` (strftime) says. Text without an offset is on the clock of `zone`, and
    rejected where no zone is declared. Unit `auto`: told by the size of the file's first numbers.
    Label `end`: the time given is the end of a bar's window, not its start.
    """

    kind: Literal["any", "iso", "epoch", "midnight", "format"] = "any"
    unit: Literal["s", "ms", "us", "ns", "auto"] | None = None
    zone: str | None = None
    format: str | None = None
    label: Literal["start", "end"] = "start"

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"'{zone}' is not an IANA time zone") from None
        return zone

    @field_validator("format")
    @classmethod
    def _format_reads_what_it_writes(cls, form: str | None) -> str | None:
        if form is not None:
            try:
                sample = pl.Series([_SAMPLE], dtype=pl.Datetime("us", "UTC"))
                again = sample.dt.to_string(form).str.to_datetime(form, strict=False)
                said = again.dt.date()[0] == _SAMPLE.date()
            except pl.exceptions.PolarsError:
                said = False
            if not said:
                raise ValueError(
                    f"'{form}' does not say a date in strftime's letters, e.g. %Y%m%d %H:%M"
                )
        return form

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in ("epoch", "midnight") and self.unit is None:
            raise ValueError(f"kind {self.kind} needs a unit: s, ms, us or ns")
        if self.kind == "midnight" and self.zone is None:
            raise ValueError("kind midnight needs a zone, e.g. America/New_York")
        if (self.kind == "format") != (self.format is not None):
            raise ValueError("kind format and the key format go together, e.g. format: '%Y%m%d'")
        if self.kind == "format" and self.zone is None and not re.search("%:*z", self.format or ""):
            raise ValueError("kind format needs a zone, or %z in the format")
        if self.unit == "auto" and self.kind not in ("any", "epoch"):
            raise ValueError(f"unit auto is for epochs; kind {self.kind} needs s, ms, us or ns")
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
