"""What `ticklake generate` was asked for, judged before anything is written.

Every function raises ValueError that says what does not go together and what to do instead.
"""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.settings import load_settings

if TYPE_CHECKING:
    from ingestion.generate.endless import Pace
    from ingestion.generate.plan import Plan
    from ingestion.generate.presets import Preset


def pace(
    *, to: str, infinite: bool, cycles: int | None, speed: float | None, realtime: bool, ramp: bool
) -> "Pace | None":
    """How an endless stream goes, None where a plain one is asked for."""
    from ingestion.generate.endless import Pace

    if infinite and cycles:
        raise ValueError("--infinite has no end and --cycles has one: give one of them")
    if speed is not None and speed <= 0:
        raise ValueError(f"--speed must be above 0, not {speed:g}")
    if realtime and speed is not None:
        raise ValueError("--realtime is speed 1: give one of --realtime and --speed")
    if (realtime or speed is not None) and to != "kafka":
        raise ValueError("--speed and --realtime are the pace of a stream: add --to kafka")
    if not (infinite or cycles or realtime or speed is not None):
        if ramp:
            raise ValueError("--ramp is for --infinite or --cycles: one pass has one level")
        return None
    return Pace(None if infinite else cycles or 1, speed, realtime, ramp)


def check_target(
    to: str, format: str | None, wire: str, out: Path | None, faults: float | None
) -> None:
    if to != "kafka" and wire != "json":
        raise ValueError(f"--wire is the form of what is sent to Kafka, not of --to {to}")
    if to != "files" and (format or out):
        raise ValueError(f"--format and --out are for files, not for --to {to}")
    if to == "files" and faults and format != "jsonl":
        raise ValueError(
            f"faults need JSON: a row of {format or 'parquet'} cannot be broken. Add --format "
            "jsonl, or --to kafka, or --to bronze"
        )
    if to == "kafka" and not load_settings().kafka_bootstrap:
        raise ValueError("--to kafka needs a broker: set TICKLAKE_KAFKA_BOOTSTRAP")


def days(
    named: list[datetime], count: int | None, first: datetime | None, endless: bool
) -> tuple[date, ...] | None:
    """The days asked for; None where the preset decides."""
    from ingestion.generate.presets import FIRST_DAY, weekdays

    if named and (count or first):
        raise ValueError("give either --day, or --days with --from")
    if named:
        chosen = tuple(sorted({moment.date() for moment in named}))
    elif count or first:
        chosen = weekdays(first.date() if first else FIRST_DAY, count or 1)
    else:
        chosen = (FIRST_DAY,) if endless else ()
    if endless and len(chosen) > 1:
        raise ValueError(f"an endless stream repeats one day; {len(chosen)} were asked for")
    return chosen or None


def plan(preset: "Preset | None", market: Path | None, **fields: Any) -> "Plan":
    """A preset's plan with the fields that are not None, and the market of a file."""
    from ingestion.generate.market import load_market
    from ingestion.generate.presets import make_plan

    return make_plan(preset, market=load_market(market) if market else None, **fields)


def datasets(plan: "Plan", named: list[str], endless: bool) -> tuple[str, ...]:
    """What to send: all that the plan has and the stream can have, or what is named of it."""
    from ingestion.generate.organic import CYCLIC, ONCE
    from ingestion.generate.stream import datasets, module_of

    able = (*ONCE, *CYCLIC)
    for name in named:
        module_of(name)
        if endless and name not in able:
            raise ValueError(
                f"{name} cannot be part of an endless stream: it sums up the trades of the base "
                f"day, not those of a cycle; there can be {', '.join(able)}"
            )
        if name not in datasets(plan):
            raise ValueError(f"there would be no {name}: ask for some, or choose another preset")
    made = datasets(plan)
    return tuple(n for n in made if (not named or n in named) and (not endless or n in able))
