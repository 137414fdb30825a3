"""How much, and how fast: room that is waited for, and a bucket of tokens that fills with time."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from enum import Enum, auto

BURST_SECONDS = 1.0


class Room:
    """Room for so much at a time. Who finds none waits for his turn, first come first served.

    What is larger than all the room is let in when there is nothing else.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, amount: int) -> None:
        """Take room, and wait for it where there is none."""
        if not self._waiting and self._fits(amount):
            self.used += amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(amount)  # it was let in at the moment it gave up
            else:
                with suppress(ValueError):  # its turn came between the cancelling and here
                    self._waiting.remove((amount, turn))
                self._let_in()
            raise

    def give(self, amount: int) -> None:
        """Give room back; those who wait are let in as far as it goes."""
        self.used -= amount
        self._let_in()

    def _fits(self, amount: int) -> bool:
        return self.used == 0 or self.used + amount <= self.limit

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            amount, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.used += amount
                turn.set_result(None)


class Pace(Enum):
    """What a client's speed calls for."""

    FINE = auto()
    TELL = auto()
    STOP = auto()


class Bucket:
    """Tokens for records: `rate` a second, saved up for BURST_SECONDS.

    Who overdraws is told once; who then overdraws by another burst is stopped. Waiting as long as
    was told, or going on at the rate, is enough to stay.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._burst = rate * BURST_SECONDS
        self._balance = self._burst
        self._at = time.monotonic()
        self._floor: float | None = None  # below it the client is stopped; None: not told

    def spend(self, records: int) -> Pace:
        """Take tokens for records and say what the speed calls for."""
        self._fill()
        self._balance -= records
        if self._balance >= 0:
            return Pace.FINE
        if self._floor is None:
            self._floor = self._balance - self._burst
            return Pace.TELL
        if self._balance >= self._floor:
            return Pace.FINE
        self._balance += records  # they are not taken, so they cost nothing
        return Pace.STOP

    @property
    def wait_s(self) -> float:
        """Seconds until nothing is overdrawn."""
        self._fill()
        return max(0.0, -self._balance / self.rate)

    def _fill(self) -> None:
        now = time.monotonic()
        self._balance = min(self._burst, self._balance + (now - self._at) * self.rate)
        self._at = now
        if self._balance >= 0:
            self._floor = None
