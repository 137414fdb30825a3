"""One client's connection: frames in, acknowledgements out, until one side ends it.

At any moment: acknowledged <= durable <= accepted. What is accepted and not acknowledged is the
connection's window; when it is full, the socket is not read.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.websockets import WebSocket

from ingestion.listen.limits import Bucket, Pace, Room
from ingestion.listen.protocol import (
    GAP,
    GOING,
    LATER,
    POLICY,
    TOO_BIG,
    Frame,
    Refusal,
    acknowledgement,
    read_frame,
    welcome,
)
from ingestion.listen.source import WebSocketSource, unit_of, weight_of
from lake.settings import Settings

DRAIN_SECONDS = 30.0  # that a connection which ends in peace waits for its last acknowledgement
STOPPING = "stopping"
HEAD_ROOM = 64  # bytes of a message beyond its record: the line with the number

log = structlog.get_logger()


class Gone(Exception):
    """The client closed the connection, or it broke."""


class Connection:
    """A client that sends one dataset."""

    def __init__(
        self,
        socket: WebSocket,
        client: str,
        source: WebSocketSource,
        settings: Settings,
        buffer: Room,
        bucket: Bucket,
    ) -> None:
        self.client = client
        self.dataset = source.contract.dataset
        self._socket = socket
        self._source = source
        self._settings = settings
        self._buffer = buffer
        self._bucket = bucket
        self._window = Room(settings.batch_rows)
        self._accepted = self._durable = self._acknowledged = 0
        self._refused: dict[str, list[int]] = {}
        self._again = False  # a landed record was sent again: its acknowledgement is due once more
        self._begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self._ending: Refusal | None = None
        self._ended = asyncio.Event()

    # --- Sender: what the source tells ---

    @property
    def unit(self) -> str:
        """What the client's record numbers count in."""
        return unit_of(self.client, self.dataset)

    @property
    def waiting(self) -> int:
        """Records that are accepted and not known to be durable."""
        return self._accepted - self._durable

    def begin(self, position: int) -> None:
        """The table stands at `position`."""
        if not self._begun.done():
            self._begun.set_result(position)

    def landed(self, following: int, refused: Mapping[str, list[int]]) -> None:
        """All records before `following` are durable."""
        self._durable = following
        self._refused = _merged(self._refused, refused)
        self._news.set()

    def failed(self, why: str) -> None:
        """Nobody knows what became of what was not acknowledged: start anew from the table."""
        self._ending = None  # weightier than any other reason, also than stopping in peace
        self.end(Refusal(LATER, "not landed", why))
        self._news.set()

    def end(self, ending: Refusal) -> None:
        """Stop reading, tell the client, and close. The first reason given is the one told."""
        if self._ending is None:
            self._ending = ending
            self._ended.set()
            if not self._begun.done():
                self._begun.set_exception(ending)

    # --- the conversation ---

    async def run(self) -> None:
        """Hold the conversation to its end. Raises Refusal to be told, Gone when nobody is there.

        Acknowledges what landed before it raises, where the client still listens.
        """
        if not self._source.ask(self):
            raise Refusal(GOING, STOPPING, "the listener is stopping; connect again later")
        try:
            await self._converse()
        finally:
            self._source.leave(self)
            log.info(
                "left", client=self.client, dataset=self.dataset,
                accepted=self._accepted, acknowledged=self._acknowledged,
            )  # fmt: skip

    async def _converse(self) -> None:
        following = await self._begun
        self._accepted = self._durable = self._acknowledged = following
        limit, rate = self._settings.max_record_bytes, self._settings.listen_rate
        log.info("welcome", client=self.client, dataset=self.dataset, next=following)
        await self._say(welcome(self.unit, following, limit, rate))
        works = (self._read(), self._acknowledge(), self._until_ended())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._ending is None:
            for task in done:
                task.result()  # raises what ended it
        if self._is_stopping():
            await self._drain()
        assert self._ending is not None
        raise self._ending

    async def _until_ended(self) -> None:
        await self._ended.wait()

    async def _read(self) -> None:
        while True:
            data = await next_message(self._socket)
            if len(data) > self._settings.max_record_bytes + HEAD_ROOM:
                raise Refusal(
                    TOO_BIG,
                    "too big",
                    f"a message of {len(data)} bytes; the limit is "
                    f"{self._settings.max_record_bytes} and the line with the number",
                )
            frame = read_frame(data, time.time_ns())
            await self._keep_pace(frame.size)
            frame = self._fit(frame)
            if frame.size > 0:
                await self._accept(frame)

    async def _keep_pace(self, records: int) -> None:
        pace = self._bucket.spend(records)
        if pace is Pace.FINE:
            return
        wait_s = round(self._bucket.wait_s, 3)
        if pace is Pace.STOP:
            raise Refusal(
                POLICY,
                "too fast",
                f"more than {self._bucket.rate} records a second after being told",
                slow_down=wait_s,
            )
        log.info("too fast", client=self.client, dataset=self.dataset, wait_s=wait_s)
        await self._say(json.dumps({"slow_down": wait_s, "max_rate": self._bucket.rate}))

    def _fit(self, frame: Frame) -> Frame:
        """What of the frame is new. Raises Refusal where records before it are missing."""
        if frame.first > self._accepted:
            raise Refusal(
                GAP,
                "gap",
                f"record {frame.first} came, {self._accepted} is next; "
                "send what is missing before it",
                next=self._accepted,
            )
        if frame.first < self._durable:
            self._again = True
            self._news.set()
        return frame.behind(min(self._accepted, frame.next))

    async def _accept(self, frame: Frame) -> None:
        await self._window.take(frame.size)
        await self._buffer.take(weight_of(frame))
        if self._source.offer(self, frame):
            self._accepted = frame.next
        else:  # somebody else sends the unit, or nothing is taken any more: the end is under way
            self._buffer.give(weight_of(frame))
            await self._ended.wait()

    async def _acknowledge(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._say_what_landed()

    async def _say_what_landed(self) -> None:
        durable, refused = self._durable, self._refused
        if durable == self._acknowledged and not self._again:
            return
        self._refused, self._again = {}, False
        try:
            await self._say(acknowledgement(durable - 1, refused))
        except asyncio.CancelledError:  # not sent yet: the last acknowledgement says it
            self._refused, self._again = _merged(refused, self._refused), True
            raise
        self._window.give(durable - self._acknowledged)
        self._acknowledged = durable

    async def _drain(self) -> None:
        """Wait until all that was accepted has landed, and acknowledge it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._durable < self._accepted and self._is_stopping():
                    await self._news.wait()
                    self._news.clear()
                await self._say_what_landed()

    def _is_stopping(self) -> bool:
        return self._ending is not None and self._ending.word == STOPPING

    async def _say(self, text: str) -> None:
        await self._socket.send_text(text)


def _merged(some: Mapping[str, list[int]], more: Mapping[str, list[int]]) -> dict[str, list[int]]:
    codes = [*some, *(code for code in more if code not in some)]
    return {code: [*some.get(code, []), *more.get(code, [])] for code in codes}


async def next_message(socket: WebSocket) -> bytes:
    """The next message's bytes, text or binary. Raises Gone when there will be none."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise Gone
    data: bytes | None = message.get("bytes")
    return data if data is not None else message["text"].encode()
