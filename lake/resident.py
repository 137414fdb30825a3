"""The resident builder: one process that builds whenever something has landed.

It looks at the logs of bronze and of the speed layer several times a second, and when they are
newer than what is published it runs the same build as everybody, with dbt kept warm. It holds no
state that matters: what is news follows from the logs and the publication, so that it can be
killed at any moment, and builds of others beside it leave nothing for it to do twice.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from lake import pins, records, speed
from lake.build import (
    BuildBusy,
    BuildFailed,
    BuildResult,
    Progress,
    build,
    dbt_environment,
    folders,
)
from lake.layout import layout
from lake.locks import Busy, held
from lake.pins import Pin
from lake.settings import Settings
from lake.warm_dbt import WarmDbt, WarmDbtDied

POLL_S = 0.2
# What is sent at once lands in several commits, a second apart: they are built together.
QUIET_S = 1.2
PATIENCE_S = 3.0
EVERY_S = 5.0
RETRY_S = 300.0


class AlreadyResident(RuntimeError):
    """Another process follows this lake."""


@dataclass(frozen=True)
class Round:
    """One build. `seconds` are from seeing the news to its end, `why` is what failed, if it did."""

    seconds: float
    result: BuildResult | None
    why: str = ""


def follow(
    settings: Settings,
    on_round: Callable[[Round], None],
    *,
    every_s: float = EVERY_S,
    progress: Progress | None = None,
) -> None:
    """Build what lands, until interrupted; `on_round` is told of every build.

    Rounds begin at least `every_s` seconds apart. The first looks at everything, as any build does;
    then a round needs news. One that failed is tried again at the next news, or after 5 minutes.
    Raises AlreadyResident where another process does the same, and what `lake.damage` knows.
    """
    try:
        with (
            held(layout(settings).lock("resident-builder")),
            WarmDbt(folders(settings), dbt_environment(settings)) as dbt,
        ):
            _Follower(settings, dbt, on_round, every_s, progress).run()
    except Busy as busy:
        raise AlreadyResident(f"this lake is followed already: {busy}") from busy


class _Follower:
    def __init__(
        self,
        settings: Settings,
        dbt: WarmDbt,
        on_round: Callable[[Round], None],
        every_s: float,
        progress: Progress | None,
    ) -> None:
        self._settings, self._dbt, self._progress = settings, dbt, progress
        self._on_round, self._every_s = on_round, every_s
        self._built: Pin | None = None  # at the last round, also where that failed
        self._retry_at = 0.0

    def run(self) -> None:
        """Rounds, for ever."""
        while True:
            began = time.monotonic()
            found = self._news(began)
            pause = POLL_S
            if found is not None and self._round(self._at_rest(found), began):
                pause = max(POLL_S, began + self._every_s - time.monotonic())
            time.sleep(pause)

    def _news(self, now: float) -> Pin | None:
        """What a round would build; None if there is nothing to do."""
        found = pins.versions(layout(self._settings))
        if self._built is None or 0 < self._retry_at <= now:
            return found
        return found if found not in (self._built, self._published()) else None

    def _at_rest(self, found: Pin) -> Pin:
        """What is there when nothing more lands for a moment, or patience ends."""
        deadline = time.monotonic() + PATIENCE_S
        while self._built is not None and time.monotonic() < deadline:
            time.sleep(QUIET_S)
            before, found = found, pins.versions(layout(self._settings))
            if all(before.get(name) == found[name] for name in found if name not in speed.TABLES):
                break
        return found

    def _published(self) -> Pin:
        record = records.current(layout(self._settings))
        pin = record.pin if record else {}
        return {name: facts["version"] for name, facts in pin.items()}

    def _round(self, found: Pin, began: float) -> bool:
        """Build; False where another build is at it: what that leaves is looked at again."""
        try:
            result = build(self._settings, progress=self._progress, dbt=self._dbt, wait_s=0)
        except BuildBusy:
            return False
        except (BuildFailed, WarmDbtDied) as failed:
            done = Round(time.monotonic() - began, None, str(failed))
            self._retry_at = time.monotonic() + RETRY_S
        else:
            done = Round(time.monotonic() - began, result)
            self._retry_at = 0.0
        self._built = found
        self._on_round(done)
        return True
