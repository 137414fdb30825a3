"""What landing asks of a source."""

from collections.abc import Callable, Iterator
from typing import Protocol

from ingestion.batch import Batch

# unit -> the first position of it that is not landed
Positions = Callable[[str], int]


class Source(Protocol):
    """Hands over batches of one dataset, each continuing where the table stands."""

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Batches in order. None means: nothing right now, the source is still open."""

    def acknowledge(self, batch: Batch) -> None:
        """The batch is durable: the source may forget it."""

    def close(self) -> None:
        """Let go of files and connections."""
