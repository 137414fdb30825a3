"""The endless stream: to Kafka at the pace of the market, elsewhere cycle after cycle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic, time

import polars as pl

from ingestion.generate import scenarios
from ingestion.generate.arrivals import chunks, cycles, slice_ms
from ingestion.generate.files import Format, remove
from ingestion.generate.organic import CYCLIC, ONCE, Cycle
from ingestion.generate.sinks import Job, Tally, file_of, landed, remove_data, save, send
from ingestion.produce import Sender
from ingestion.sources.generator import Unit, digest
from lake.locks import held

TRUTHS, SCENARIOS = "truth", "scenario"  # folders, with a file a cycle


@dataclass(frozen=True)
class Pace:
    """How long and how fast.

    `cycles` passes over the base day (None: without end), `speed` market seconds a second (None:
    as fast as they are taken). `realtime`: speed 1, and everything later, so that the session
    opens now. `ramp`: a cycle's prices glide to its level in the first minute.
    """

    cycles: int | None = None
    speed: float | None = None
    realtime: bool = False
    ramp: bool = False


def endless_to_kafka(job: Job, pace: Pace) -> None:
    """Securities once, then all other datasets by their arrival.

    A record is stamped with its arrival, in real time with the clock. Raises BrokerUnreachable and
    ProduceFailed as Sender does.
    """
    market = _market(job)
    with Sender(job.settings) as sender:
        _forget_truth(job.beside)
        if pace.realtime:
            _make_ready(job, market)
        with _all_timed(job):
            _send_once(job, sender, pace)
            later = _later_ms(job, pace)
            clock = _Clock(Cycle(job.plan, 0, later_ms=later).opens_us // 1000, _speed(pace))
            passes = cycles(job.plan, pace.cycles, pace.ramp, later)
            begun = partial(_tell_truth, job, job.beside)
            sent_until = 0
            for chunk in chunks(passes, market, slice_ms(job.plan, market, clock.speed), begun):
                clock.wait(chunk.until_ms, job.stop)
                if job.stop.is_set():
                    _forget_unsent(job.beside, sent_until)
                    return
                for part in chunk.parts:
                    stamps = [_now_ms()] * len(part) if pace.realtime else part.recv_ms.tolist()
                    send(job, sender, part.dataset, part, stamps)
                sent_until = chunk.until_ms


def endless_to_files(job: Job, pace: Pace, out: Path, format: Format) -> None:
    """Write <out>/<dataset>/<day>.C<cycle>.<format>, a whole file a cycle; securities once.

    Raises Busy when another process writes there.
    """
    with held(out / ".lock"):
        remove_data(job, out)
        _forget_truth(out)
        for cycle in cycles(job.plan, pace.cycles, pace.ramp):
            _tell_truth(job, out, cycle)
            for dataset in _of_cycle(job, cycle):
                pass_name = "" if dataset in ONCE else f".C{cycle.number}"
                path = out / dataset / f"{cycle.day}{pass_name}.{format}"
                if not file_of(job, dataset, path, cycle.blocks(dataset)):
                    return


def endless_to_bronze(job: Job, pace: Pace) -> None:
    """Land cycle after cycle, each a unit that lands once; securities once."""
    _forget_truth(job.beside)
    for cycle in cycles(job.plan, pace.cycles, pace.ramp):
        _tell_truth(job, job.beside, cycle)
        for dataset in _of_cycle(job, cycle):
            unit = None if dataset in ONCE else _unit(cycle, dataset)
            if not landed(job, dataset, cycle.day, unit):
                return


def _unit(cycle: Cycle, dataset: str) -> Unit:
    glides = "-ramp" if cycle.ramp else ""
    name = f"generator:{digest(cycle.plan)}/{dataset}/{cycle.day}/C{cycle.number}{glides}"
    return Unit(name, partial(cycle.blocks, dataset))


def _market(job: Job) -> tuple[str, ...]:
    return tuple(dataset for dataset in job.datasets if dataset in CYCLIC)


def _of_cycle(job: Job, cycle: Cycle) -> tuple[str, ...]:
    once = () if cycle.number else tuple(name for name in job.datasets if name in ONCE)
    return (*once, *_market(job))


def _send_once(job: Job, sender: Sender, pace: Pace) -> None:
    """What is sent before the market opens and never again."""
    before = Cycle(job.plan, 0, later_ms=_later_ms(job, pace))
    for dataset in job.datasets:
        for block in before.blocks(dataset) if dataset in ONCE else ():
            if job.stop.is_set():
                return
            stamps = [_now_ms()] * len(block) if pace.realtime else block.recv_ms.tolist()
            send(job, sender, dataset, block, stamps)


def _make_ready(job: Job, market: tuple[str, ...]) -> None:
    """Work out the base day before its first message is due."""
    for dataset in market:
        next(Cycle(job.plan, 0).blocks(dataset), None)


def _later_ms(job: Job, pace: Pace) -> int:
    """By how much the stream is moved, so that in real time the session opens now."""
    return _now_ms() - Cycle(job.plan, 0).opens_us // 1000 if pace.realtime else 0


def _now_ms() -> int:
    return int(time() * 1000)


def _speed(pace: Pace) -> float | None:
    return 1.0 if pace.realtime else pace.speed


@dataclass
class _Clock:
    """Market time `opens_ms` is the moment this is made; from there it runs at `speed`."""

    opens_ms: int
    speed: float | None

    def __post_init__(self) -> None:
        self._started = monotonic()

    def wait(self, until_ms: int, stop: Event) -> None:
        """Sleep until it is `until_ms` on the market's clock, or `stop` is set."""
        if self.speed is not None:
            due = self._started + (until_ms - self.opens_ms) / 1000 / self.speed
            stop.wait(max(0.0, due - monotonic()))


@contextmanager
def _all_timed(job: Job) -> Iterator[None]:
    """The datasets go side by side: each takes as long as all."""
    whole = Tally("", "")
    try:
        with whole.timed():
            yield
    finally:
        for tally in job.tallies.values():
            tally.seconds = whole.seconds


def _forget_truth(folder: Path) -> None:
    """Remove what an earlier run said about its cycles."""
    for name in (TRUTHS, SCENARIOS):
        remove(folder / name, r"cycle=\d+\.parquet")


def _forget_unsent(folder: Path, sent_until_ms: int) -> None:
    """Leave out of the truth what would have arrived later: it was not sent."""
    told = (folder / TRUTHS).glob("cycle=*.parquet")
    for path in sorted(told, key=lambda path: int(path.stem.partition("=")[2]), reverse=True):
        promised = pl.read_parquet(path)
        sent = promised.filter(pl.col("recv_ms") < sent_until_ms)
        if len(sent) == len(promised):
            return  # so were all cycles before it
        save(path, sent)


def _tell_truth(job: Job, folder: Path, cycle: Cycle) -> None:
    """Write what must become of a cycle's messages, before there are any."""
    file = f"cycle={cycle.number}.parquet"
    if job.plan.fault_share and "trades" in job.datasets:
        save(folder / TRUTHS / file, cycle.truth())
    if job.plan.scenario:
        times = [pl.col(name) + cycle.shift_us for name in ("start_us", "end_us")]
        told = scenarios.truth(job.plan).with_columns(*times, cycle=pl.lit(cycle.number, pl.Int64))
        save(folder / SCENARIOS / file, told)
