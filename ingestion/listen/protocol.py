"""What is said over a connection: greeting, frames with numbered records, answers.

A frame is one WebSocket message: a line that says the number of its first record, and how many
there are if it is a batch, then the records. `17\n{...}` is record 17, every byte that follows;
`17 3\n{...}\n{...}\n{...}` are records 17, 18 and 19, one a line. The number is outside the record,
so the bytes under contract, and those kept in quarantine, are the client's own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts import registry
from contracts.base import Contract

MOST_RECORDS = 10_000  # of a frame: bounds what one acknowledgement may have to say
LONGEST_HEAD = 40
_HEAD = re.compile(rb"(0|[1-9][0-9]{0,17})(?: ([1-9][0-9]{0,5}))?")

POLICY, MALFORMED, TOO_BIG, LATER, GOING = 1008, 1007, 1009, 1013, 1001
INTERNAL = 1011
TAKEN_OVER, GAP = 4001, 4002  # of those that an application may choose


class Refusal(Exception):
    """The connection is told why and closed with `code`; nothing unacknowledged is promised."""

    def __init__(self, code: int, word: str, why: str, **facts: Any) -> None:
        super().__init__(why)
        self.code = code
        self.word = word
        self.facts = facts

    def text(self) -> str:
        """What the client is told."""
        return json.dumps({"error": self.word, "message": str(self), **self.facts})


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """The first message of a client."""

    dataset: str | None = None
    topic: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Records `first` to `next` (excluded) of a client, as they were received (ns, UTC)."""

    first: int
    next: int
    body: bytes
    batch: bool
    skip: int  # records at the start of the body that are landed already
    received_ns: int

    @property
    def size(self) -> int:
        """Number of records that are to be landed."""
        return self.next - self.first

    def records(self) -> list[bytes]:
        """The bytes of the records that are to be landed."""
        if not self.batch:
            return [self.body]
        return self.body.removesuffix(b"\n").split(b"\n")[self.skip :]

    def behind(self, position: int) -> "Frame":
        """The same without the records before `position`."""
        skip = max(0, position - self.first)
        return Frame(
            self.first + skip, self.next, self.body, self.batch, self.skip + skip, self.received_ns
        )


def read_hello(data: bytes) -> tuple[Contract, str | None]:
    """The contract that a greeting names, and its token. Raises Refusal."""
    try:
        hello = msgspec.json.decode(data, type=Hello)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal(  # the cause might quote the token
            MALFORMED, "greeting", 'the first message must be like {"dataset": "trades"}'
        ) from None
    if (hello.dataset is None) == (hello.topic is None):
        raise Refusal(MALFORMED, "greeting", "name either a dataset or a topic")
    try:
        if hello.dataset is not None:
            return registry.get(hello.dataset), hello.token
        return registry.for_topic(hello.topic or ""), hello.token
    except registry.UnknownDataset as error:
        raise Refusal(POLICY, "dataset", str(error.args[0])) from None


def read_frame(data: bytes, received_ns: int) -> Frame:
    """A frame from the bytes of a message. Raises Refusal where it is none.

    A batch says how many records it has: a line break inside a record would otherwise shift the
    numbers of all that follow, and they would pass for landed ones.
    """
    end = data.find(b"\n", 0, LONGEST_HEAD)
    head = _HEAD.fullmatch(data, 0, end) if end > 0 else None
    if head is None:
        raise Refusal(
            MALFORMED,
            "frame",
            "a message starts with the number of its first record on a line of its own, "
            "for a batch followed by a space and how many records there are",
        )
    first, many, body = int(head[1]), head[2], data[end + 1 :]
    if many is None:
        return Frame(first, first + 1, body, False, 0, received_ns)
    said = int(many)
    if said > MOST_RECORDS:
        raise Refusal(
            TOO_BIG, "too many", f"{said} records in a message; the most is {MOST_RECORDS}"
        )
    found = body.count(b"\n") + (not body.endswith(b"\n"))
    if found != said:
        raise Refusal(
            MALFORMED,
            "frame",
            f"the message from number {first} says {said} records and has {found} lines; a record "
            "with line breaks in it goes alone, without a count",
        )
    return Frame(first, first + said, body, True, 0, received_ns)


def welcome(unit: str, following: int, max_bytes: int, rate: int) -> str:
    """What a client is told when it may send."""
    facts = {"unit": unit, "next": following, "max_bytes": max_bytes, "max_rate": rate}
    return json.dumps({"welcome": facts})


def acknowledgement(last: int, refused: Mapping[str, Sequence[int]]) -> str:
    """All records up to `last` are durable; `refused` are those of them in quarantine, by code."""
    return json.dumps({"ack": last, "rejected": refused} if refused else {"ack": last})
