"""Truth about trades, computed a second time in plain Python: lifecycle [0.6] and outliers [5].

Numbers in brackets are sections of analytics.md. Nothing here may import the project or a database.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from statistics import median

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Message:
    """A trade as it landed: the n-th record of one log."""

    landed: int
    trade_id: str
    session: date
    status: str = "NEW"
    ref: str | None = None
    version: int | None = None


def states(messages: Iterable[Message]) -> dict[int, str]:
    """What became of each record: landed -> current, duplicate, superseded, cancelled, applied or
    parked. All records are of one instrument, source and venue."""
    found: dict[int, str] = {}
    seen: set[tuple[object, ...]] = set()
    events: list[Message] = []
    for message in sorted(messages, key=lambda m: m.landed):
        identity = (message.session, message.trade_id, message.status, message.version)
        if identity in seen:
            found[message.landed] = "duplicate"
        else:
            seen.add(identity)
            events.append(message)
    originals = [m for m in events if m.status == "NEW"]
    chains: defaultdict[tuple[str, date], list[tuple[int, Message]]] = defaultdict(list)
    for message in events:
        if message.status == "NEW":
            chains[message.trade_id, message.session].append((message.version or 1, message))
            continue
        root, depth = _root(message, events)
        sessions = [
            m.session for m in originals if m.trade_id == root and m.session <= message.session
        ]
        if sessions:
            version = message.version if message.version is not None else depth + 1
            chains[root, max(sessions)].append((version, message))
        else:
            found[message.landed] = "parked"
    for chain in chains.values():
        _, winner = min(chain, key=lambda one: (-one[0], one[1].landed))
        for _, message in chain:
            found[message.landed] = _state(message, winner, len(chain))
    return found


def _root(message: Message, events: Sequence[Message]) -> tuple[str, int]:
    """The id that a message leads back to, and over how many references."""
    links = {m.trade_id: m.ref or m.trade_id for m in events if m.status != "NEW"}
    at, depth = message.ref or message.trade_id, 1
    while links.get(at, at) != at:
        at, depth = links[at], depth + 1
    return at, depth


def _state(message: Message, winner: Message, size: int) -> str:
    if size == 1:
        return "current"
    if message.status == "CANCEL":
        return "applied"
    if winner.status == "CANCEL":
        return "cancelled"
    return "current" if message is winner else "superseded"


@dataclass(frozen=True)
class Print:
    """A print of one instrument and session, in order."""

    at_ns: int
    price: Fraction


def outliers(prints: Sequence[Print], previous_close: Fraction | None) -> dict[int, bool]:
    """Place of each print that strays from its reference -> an outlier? (False: a new level)."""
    stray = [_strays(prints, place, previous_close) for place in range(len(prints))]
    found: dict[int, bool] = {}
    place = 0
    while place < len(prints):
        end = place
        while end < len(prints) and stray[end]:
            end += 1
        head = prints[place : place + 10] if end - place >= 10 else []
        agrees = bool(head) and (
            head[-1].at_ns - head[0].at_ns <= 60 * SECOND
            and max(p.price for p in head) * 100 <= min(p.price for p in head) * 105
        )
        found.update(dict.fromkeys(range(place, end), not agrees))
        place = max(end, place + 1)
    return found


def _strays(prints: Sequence[Print], place: int, previous_close: Fraction | None) -> bool:
    prior = [p.price for p in prints[max(0, place - 50) : place]]
    if len(prior) >= 20:
        reference, limit = Fraction(median(prior)), 5
    elif previous_close is not None:
        reference, limit = previous_close, 10
    else:
        return False
    return abs(prints[place].price - reference) * 100 > limit * reference
