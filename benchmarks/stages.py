"""Where the CPU time of landing goes, stage by stage. Run by ingest.py --profile.

Everything is polled first, so that librdkafka's threads are idle when the rest is timed and the
process's CPU time is that of the stage. Stages are timed around public functions; one that is no
longer there is left out, and its time stays with the stage that called it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import msgspec
import structlog

from benchmarks.kafka import warm
from benchmarks.worker import Job, serve
from contracts import registry
from contracts.derive.wire import decoder
from ingestion import land
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.settings import load_settings

# Stage -> the function as its caller knows it.
WATCHED = {
    "check": ("ingestion.land", "check"),
    "parquet": ("pyarrow.parquet", "write_table"),
    "commit, fsync": ("lake.delta", "commit"),
}


@dataclass
class Stages:
    """CPU and clock seconds of each stage, without those of the stages inside it."""

    cpu: dict[str, float] = field(default_factory=dict)
    clock: dict[str, float] = field(default_factory=dict)
    _inside: list[list[float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens within."""
        self._inside.append([0.0, 0.0])
        cpu, clock = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            took = time.process_time() - cpu, time.perf_counter() - clock
            inside = self._inside.pop()
            self.cpu[name] = self.cpu.get(name, 0.0) + took[0] - inside[0]
            self.clock[name] = self.clock.get(name, 0.0) + took[1] - inside[1]
            if self._inside:
                self._inside[-1][0] += took[0]
                self._inside[-1][1] += took[1]

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, timed as a stage whenever it is called."""

        def run(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return work(*arguments, **named)

        return run

    def watch(self) -> None:
        """Time the functions of WATCHED from now on, in this process."""
        for name, (module, attribute) in WATCHED.items():
            place = import_module(module)
            if hasattr(place, attribute):
                setattr(place, attribute, self.timed(name, getattr(place, attribute)))


def profile(bootstrap: str) -> Job:
    """Land the topic into a fresh lake, batch by batch; seconds by stage."""
    contract = registry.get("trades")
    stages = Stages()
    stages.watch()
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap})
        writer = BronzeWriter(contract, layout(settings))
        writer.commit = stages.timed("files", writer.commit)  # type: ignore[method-assign]
        source = KafkaSource(contract, settings, follow=False)
        with closing(source), stages.stage("poll"):
            batches = [b for b in source.batches(writer.next_position) if b is not None]
        for batch in batches:
            watched = replace(batch, decode=stages.timed("decode", batch.decode))
            with stages.stage("assemble"):
                land.land_batch(writer, watched)
        records = sum(batch.size for batch in batches)
        for batch in batches:
            values = batch.raw(range(batch.size))
            with stages.stage("(msgspec alone)"):
                _parse(contract.dataset, values)
    return {"records": records, "cpu": stages.cpu, "clock": stages.clock}


def _parse(dataset: str, values: list[bytes]) -> None:
    decode = decoder(dataset).decode
    for value in values:
        try:
            decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve({"profile": profile, "warm": warm})
