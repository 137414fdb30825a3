"""The note of a failure: a row of `ledger/failures`, shown as a block of text."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from textwrap import indent, wrap
from typing import Any

from lake.failures import Failure, Kind
from ticklake.failures.rules import Rule

WIDTH = 100
MOST_WORDS = 4_000  # characters of an error; what is longer keeps its beginning and its end

_HEADS: dict[Kind, str] = {"failed": "FAILED", "timed_out": "TIMED OUT", "late": "LATE"}


def text(failure: Failure) -> str:
    """The note as people read it, lines of at most `WIDTH` characters but for the error's own."""
    what = f"{failure.flow} / {failure.task}" if failure.task else failure.flow
    head = f" {_HEADS[failure.kind]}: {what} "
    tries = f", try {failure.try_number} of {failure.tries}" if failure.try_number else ""
    lines = [
        head.center(WIDTH, "="),
        *_field("run", failure.run_id + tries),
        *_field("for", _scope(failure)),
        "error",
        indent(failure.error, "    "),
        *_field("cause", failure.cause),
        *_field("do", failure.remedy),
        *_field("type", failure.command, whole=True),
        *_field("log", failure.log, whole=True),
        "=" * WIDTH,
    ]
    return "\n".join(lines)


def filled(rule: Rule, **known: str) -> dict[str, str]:
    """Name, cause, remedy and command of a rule with what is {known} put in."""
    return {
        "rule": rule.name,
        "cause": _put_in(rule.cause, known),
        "remedy": _put_in(rule.remedy, known),
        "command": _put_in(rule.command, known),
    }


def words(error: BaseException | str, secrets: Iterable[str] = ()) -> str:
    """What an error says, without secrets, and not endless."""
    said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    for secret in secrets:
        said = said.replace(secret, "***")
    said = said.removeprefix("AirflowFailException: ").strip()
    half = MOST_WORDS // 2
    return said if len(said) <= MOST_WORDS else f"{said[:half]}\n[...]\n{said[-half:]}"


def of_params(params: Mapping[str, Any] | None) -> str:
    """Parameters of a run as JSON, keys in order: equal ones are equal texts."""
    return json.dumps(dict(params or {}), sort_keys=True, default=str)


def _put_in(pattern: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        pattern = pattern.replace("{" + name + "}", value)
    return pattern


def _scope(failure: Failure) -> str:
    """The days or the moment that the run is for, and its parameters where any is set."""
    start, end = failure.interval_start, failure.interval_end
    shown = []
    if start and end and start != end:
        shown.append(f"{_moment(start)} to {_moment(end)} UTC")
    elif start:
        shown.append(f"{_moment(start)} UTC")
    given = {name: value for name, value in json.loads(failure.params).items() if value}
    if given:
        shown.append(", ".join(f"{name} = {json.dumps(value)}" for name, value in given.items()))
    return "; ".join(shown)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _field(name: str, value: str, *, whole: bool = False) -> list[str]:
    if not value:
        return []
    lines = [value] if whole else wrap(value, WIDTH - 8, break_long_words=False)
    return [f"{name if n == 0 else '':8}{line}" for n, line in enumerate(lines)]
