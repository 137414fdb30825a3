"""Seeded messages for landing: good ones, duplicates of them, and poison of every kind."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from tests.embedded_broker import Sent
from tests.faults.records import INSTRUMENTS, quoted, sound, written
from tests.oracle_contract import DIGITS, MAX_BYTES
from tests.oracle_wire import TIME, WIRE

TOPICS = {
    "trades": "market.trades.v1",
    "quotes": "market.quotes.v1",
    "securities": "reference.securities.v1",
    "orders": "market.orders.v1",
    "market_data": "market.data.v1",
    "positions": "risk.positions.v1",
    "book_updates": "market.book.v1",
    "posts": "social.posts.v1",
    "bars": "market.bars.v1",
    "alerts": "price_alerts",
}
START = datetime(2025, 10, 2, 23, 30, tzinfo=UTC)  # events lie on both sides of midnight
SPREAD = timedelta(hours=1)
POISON_SHARE, DUPLICATE_SHARE = 0.2, 0.1


def messages(seed: int, dataset: str, count: int, partitions: int) -> list[Sent]:
    """`count` messages in the order they are sent; every partition gets some of each kind."""
    rng = random.Random(f"{seed}/{dataset}")
    sent: list[Sent] = []
    good: list[bytes] = []
    for number in range(count):
        moment = START + SPREAD * (number / count)
        drawn = rng.random()
        value: bytes | None
        if drawn < POISON_SHARE:
            value = poison(rng, dataset, number, moment)
        elif drawn < POISON_SHARE + DUPLICATE_SHARE and good:
            value = rng.choice(good)
        else:
            value = sound(rng, dataset, number, moment).encode()
            good.append(value)
        sent.append(
            Sent(
                value=value,
                partition=rng.randrange(partitions),
                sent_ms=int(moment.timestamp() * 1000),
                key=rng.choice(INSTRUMENTS).encode(),
                batch_id=rng.choice([None, f"batch-{number // 20}"]),
            )
        )
    return sent


def only_poison(seed: int, dataset: str, count: int, partitions: int) -> list[Sent]:
    """As `messages`, but nothing in it is good."""
    rng = random.Random(f"poison/{seed}/{dataset}")
    return [
        Sent(poison(rng, dataset, number, START), rng.randrange(partitions),
             int(START.timestamp() * 1000))
        for number in range(count)
    ]  # fmt: skip


def poison(rng: random.Random, dataset: str, number: int, moment: datetime) -> bytes | None:
    """A record that breaks one rule; it is received at `moment`."""
    return damaged(rng, dataset, number, moment, rng.choice(_DAMAGE[dataset]))


def every_poison(rng: random.Random, dataset: str, moment: datetime) -> Iterator[bytes | None]:
    """A record for every way to break one."""
    for number, damage in enumerate(_DAMAGE[dataset]):
        yield damaged(rng, dataset, number, moment, damage)


def several_rules_broken(
    rng: random.Random, dataset: str, number: int, moment: datetime
) -> bytes | None:
    """A readable record that breaks up to three rules about values."""
    rules = [*_RULES[dataset], {TIME[dataset]: JUST_AHEAD}, {TIME[dataset]: "631151999999"}]
    broken: dict[str, str | None] = {}
    for changes in rng.sample(rules, min(3, len(rules))):
        broken |= changes
    return damaged(rng, dataset, number, moment, broken)


def damaged(
    rng: random.Random, dataset: str, number: int, moment: datetime, damage: "Damage"
) -> bytes | None:
    """A sound record with a damage done to it."""
    text = sound(rng, dataset, number, moment)
    if callable(damage):
        return damage(plain(text))
    seconds = {JUST_AHEAD: 5, AHEAD: rng.randrange(6, 90_000_000)}
    changes = {
        name: (moment + timedelta(seconds=seconds[value])).strftime('"%Y-%m-%dT%H:%M:%S.%f001Z"')
        if value in seconds
        else value
        for name, value in damage.items()
    }
    return _with(text, changes).encode()


# --- ways to break a record ---------------------------------------------------------------------

Changes = Mapping[str, str | None]  # wire name -> JSON text in its place; None takes it away
Damage = Changes | Callable[[str], bytes | None]

AHEAD = "more than 5 s after it was received"
JUST_AHEAD = "a nanosecond more than that"


def _tombstone(_: str) -> None:
    return None


def _empty(_: str) -> bytes:
    return b""


def _no_record(_: str) -> bytes:
    return b"not a record"


def _an_array(text: str) -> bytes:
    return f"[{text}]".encode()


def _cut_off(text: str) -> bytes:
    return text[: len(text) // 2].encode()


def _followed_by_more(text: str) -> bytes:
    return text.encode() + b"}"


def _with_a_byte_order_mark(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.encode()


def _no_utf8_at_the_start(text: str) -> bytes:
    return b"\xff" + text.encode()


def _no_utf8_in_a_value(text: str) -> bytes:
    return text.encode().replace(b'":"', b'":"\xff', 1)


def _a_line_break_in_a_value(text: str) -> bytes:
    return text.encode().replace(b'":"', b'":"\n', 1)


def _a_key_twice(text: str) -> bytes:
    """The first member once more, as it is: nobody can say which of two counts."""
    (key, value), *_ = json.loads(text, object_pairs_hook=list)
    return (text[:-1] + f",{quoted(key)}:{json.dumps(value)}}}").encode()


def _a_key_twice_in_disguise(text: str) -> bytes:
    (key, _), *_ = json.loads(text, object_pairs_hook=list)
    return (text[:-1] + f',"\\u{ord(key[0]):04x}{key[1:]}":null}}').encode()


def _an_unknown_key(text: str) -> bytes:
    return (text[:-1] + ',"colour":"red"}').encode()


def _padded(text: str) -> bytes:
    return text.encode() + b" " * (MAX_BYTES + 1 - len(text.encode()))


def _too_long(text: str) -> bytes:
    return text.encode()[:-1] + b',"venue":"' + b"x" * 900_000 + b'"}'


_WHOLE: tuple[Callable[[str], bytes | None], ...] = (
    _tombstone, _empty, _no_record, _an_array, _cut_off, _followed_by_more,
    _with_a_byte_order_mark, _no_utf8_at_the_start, _no_utf8_in_a_value, _a_line_break_in_a_value,
    _a_key_twice, _a_key_twice_in_disguise, _an_unknown_key, _padded, _too_long,
)  # fmt: skip

_NO_NUMBER = ("NaN", "-Infinity", '"NaN"', '"inf"', '"-Infinity"', '"abc"', '""', '" 1"', '"1_0"',
              '"0x1"', '"1,5"', '"null"', '"\u0661"', "true", "[1]", "{}", "01", "1.",
              "1e400", "1e-400")  # fmt: skip
_WRONG: dict[str, tuple[str, ...]] = {
    "text": ("7", "true", '["a"]', "{}", "NaN", '"\\ud800"'),
    "texts": ('"A"', "[null]", '["A",null]', "[1]", '[["A"]]', "{}", "7", '["\\ud800"]'),
    "boolean": ("1", "0", '"true"', '"t"', "[true]"),
    "integer": ('"1"', "1.5", "1.0", "1e2", str(2**63), str(-(2**63) - 1), "true", "NaN", "[1]"),
    "time": ("true", "1.5", "[1]", "NaN", '""', '"yesterday"', '"2025-10-02"', '"1759406400000"',
             '"2025-13-02T12:00:00Z"', '"2025-10-02T12:00:00"', '"2025-10-02T12:00:00.123456"',
             '"1989-12-31T23:59:59.999999999Z"', "631151999999", "-1", '"0001-01-01T00:00:00Z"',
             '"9999-12-31T23:59:59Z"', "99999999999999", str(2**62), AHEAD, JUST_AHEAD),
    **{
        kind: (*_NO_NUMBER, f"0.{'0' * after}1", f'"1{"0" * after}.{"9" * (after + 1)}"',
               f"1{'0' * before}", f"-1{'0' * before}", f"1{'0' * 40}")
        for kind, (before, after) in DIGITS.items()
    },
}  # fmt: skip

TINY = "-0.00000001"
# What a price and a quantity may not be together: no product of it fits the notional.
_VAST = {"price": "100000000", "quantity": "10000000000"}
_RULES: dict[str, tuple[Changes, ...]] = {
    "trades": (
        {"price": "-1.5"}, {"price": "0"}, {"price": '"-0.000000001"'}, {"quantity": "0"},
        {"quantity": TINY}, _VAST, {"buySellIndicator": '"X"'}, {"buySellIndicator": '"b"'},
        {"status": '"GONE"'}, {"price": "-1", "quantity": "0", "buySellIndicator": '"X"'},
    ),
    "quotes": (
        {"bidPrice": "-0.000000001"}, {"offerPrice": "-1"}, {"price": "-1"}, {"bidSize": TINY},
        {"offerSize": "-1"}, {"size": "-1"}, {"side": '"UP"'}, {"side": '"bid"'},
    ),
    "securities": (
        {"tickSize": "0"}, {"tickSize": "-0.01"}, {"priceMultiplier": "-1"},
        {"priceMultiplier": "0"},
    ),
    "orders": (
        {"msgType": '"X"'}, {"msgType": '"t"'}, {"msgType": '"TA"'},
        {"msgType": '"X"', "price": "-1", "volume": "-1", "side": '"Q"'},
        *({"msgType": f'"{kind}"', "price": gone} for kind in "TAM" for gone in ("null", None)),
        *({"msgType": f'"{kind}"', "price": "1", "volume": "0"} for kind in "TAM"),
        *({"msgType": f'"{kind}"', "volume": TINY} for kind in "CFR"),
        *({"msgType": f'"{kind}"', "price": "0"} for kind in "TACMFR"),
        *({"msgType": f'"{kind}"', "price": "1", "volume": "1", "side": "null"} for kind in "AM"),
        {"side": '"BUY"'}, {"msgType": '"T"', "price": "100000000", "volume": "10000000000"},
        {"msgType": '"C"', "price": "100000000", "volume": "10000000000"},
    ),
    "market_data": (
        {"price": "0"}, {"price": "-1"}, {"bid_price": "-0.000000001"}, {"ask_price": "-1"},
        {"bid_size": TINY}, {"ask_size": "-1"}, {"volume": "-1"},
    ),
    "positions": (
        {"avg_price": "0"}, {"avg_price": "-1"},
        {"avg_price": "100000000", "position_size": "-10000000000"},
    ),
    "book_updates": (
        {"order_type": '"STOP"'}, {"order_type": '"limit"'},
        {"order_type": '"STOP"', "price": "0", "quantity": "0", "side": '"B"'},
        {"order_type": '"LIMIT"', "price": "null"}, {"order_type": '"LIMIT"', "price": None},
        *({"order_type": f'"{kind}"', "price": "1", "quantity": "0"}
          for kind in ("LIMIT", "MARKET", "CANCEL")),
        {"price": "0"}, {"price": "-1"}, {"quantity": TINY}, {"side": '"B"'}, _VAST,
    ),
    "posts": (),
    "bars": (
        {"interval": '"2m"'}, {"interval": '"1M"'}, {"high": "0.00001"}, {"low": "99999"},
        {"open": "99999"}, {"close": "0.00001"}, {"vwap": "0"}, {"volume": "-1"}, {"volume": TINY},
        {"trade_count": "-1"}, {"open": "0", "low": "0"}, {"low": "-1"},
        {"high": "100000000", "volume": "10000000000"},
    ),
    "alerts": (),
}  # fmt: skip


def _changes(dataset: str) -> Iterator[Changes]:
    """Every member missing, null and wrong where it may not be, then the dataset's own rules."""
    for wire, (_, kind) in WIRE[dataset].items():
        bare = kind.rstrip("!*")
        if kind[-1] in "!*":
            yield {wire: None}
        if kind.endswith("!"):
            yield {wire: "null"}
        if kind == "text!":
            yield {wire: '""'}
        yield from ({wire: wrong} for wrong in _WRONG[bare])
    yield from _RULES[dataset]


_DAMAGE: dict[str, list[Damage]] = {dataset: [*_WHOLE, *_changes(dataset)] for dataset in WIRE}


def plain(text: str) -> str:
    """The same record without odd spaces and escapes."""
    return _with(text, {})


def _with(text: str, changes: Changes) -> str:
    """The JSON text with some members set to other JSON text, or taken away."""
    members = json.loads(text, parse_float=_Verbatim, parse_int=_Verbatim)
    texts = {key: _text_of(given) for key, given in members.items()}
    changed = {**texts, **changes}
    return written({key: value for key, value in changed.items() if value is not None})


class _Verbatim(str):
    """A number exactly as it was written."""


def _text_of(value: object) -> str:
    return str(value) if isinstance(value, _Verbatim) else json.dumps(value, ensure_ascii=False)
