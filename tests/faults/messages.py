"""Seeded messages for landing: good ones, duplicates of them, and poison of every kind."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.embedded_broker import Sent

TOPICS = {
    "trades": "market.trades.v1",
    "quotes": "market.quotes.v1",
    "securities": "reference.securities.v1",
}
START = datetime(2025, 10, 2, 23, 30, tzinfo=UTC)  # events lie on both sides of midnight
SPREAD = timedelta(hours=1)
POISON_SHARE, DUPLICATE_SHARE = 0.2, 0.1
INSTRUMENTS = ("BOND_00001", "BOND_00002", "AAPL", "Ünïcode 株")


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


def sound(rng: random.Random, dataset: str, number: int, moment: datetime) -> str:
    """A record that keeps the contract, as JSON text."""
    members = {
        "trades": _trade,
        "quotes": _quote,
        "securities": _security,
    }[dataset](rng, number)
    stamp = moment - timedelta(microseconds=rng.randrange(1, 3_600_000_000))
    key = "asOf" if dataset == "securities" else "timestamp"
    if dataset != "securities" or rng.random() < 0.8:
        members[key] = _quoted(_time_text(rng, stamp))
    return "{" + ",".join(f"{_quoted(name)}:{text}" for name, text in members.items()) + "}"


def _time_text(rng: random.Random, stamp: datetime) -> str:
    return rng.choice(
        [
            stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03}Z",
            stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            stamp.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{rng.randrange(1000):03}Z",
            (stamp + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00"),
        ]
    )


def _number(rng: random.Random, whole: int, decimals: int) -> str:
    """A positive number within these widths, now and then as text or in scientific notation."""
    shift = rng.randrange(decimals + 1)
    units = rng.randrange(1, 10 ** (whole + shift))
    plain = f"{units // 10**shift}.{units % 10**shift:0{shift}}" if shift else str(units)
    return rng.choice([plain, plain, plain, _quoted(plain), f"{units}e-{shift}"])


def _trade(rng: random.Random, number: int) -> dict[str, str]:
    members = {
        "tradeId": _quoted(f"T{number}"),
        "instrumentId": _quoted(rng.choice(INSTRUMENTS)),
        "price": _number(rng, 5, 9),
        "quantity": _number(rng, 8, 8),
        "buySellIndicator": rng.choice(['"B"', '"S"', "null"]),
    }
    if rng.random() < 0.5:
        members |= {"venue": '"XNYS"', "sequence": str(number), "version": "1", "status": '"NEW"'}
    if rng.random() < 0.2:
        members["conditions"] = '"a \\"quoted\\" mark"'
    return members


def _quote(rng: random.Random, number: int) -> dict[str, str]:
    return {
        "instrumentId": _quoted(rng.choice(INSTRUMENTS)),
        "dealerId": _quoted(f"DEALER_{number % 12:03}"),
        "bidPrice": rng.choice(["null", "0", _number(rng, 5, 9)]),
        "offerPrice": _number(rng, 5, 9),
        "bidSize": rng.choice(["0", _number(rng, 8, 8)]),
        "offerSize": _number(rng, 8, 8),
    }


def _security(rng: random.Random, number: int) -> dict[str, str]:
    return {
        "instrumentId": _quoted(rng.choice(INSTRUMENTS)),
        "securityName": _quoted(f"Name {number}"),
        "cusip": '"037833100"',
        "isin": '"US0378331005"',
        "marketSegment": rng.choice(['"HG"', '"HY"', "null"]),
        "issuer": _quoted(f"Issuer {number % 7}"),
        "priceMultiplier": rng.choice(["1", "0.01", "1e-2"]),
        "tickSize": _number(rng, 1, 9),
    }


# --- poison -------------------------------------------------------------------------------------

Damage = Callable[[str], bytes]


def poison(rng: random.Random, dataset: str, number: int, moment: datetime) -> bytes | None:
    """A record that breaks one rule."""
    text = sound(rng, dataset, number, moment)
    kind = rng.randrange(len(_WHOLE) + len(_MEMBERS[dataset]) + 3)
    if kind < len(_WHOLE):
        return _WHOLE[kind](text)
    if kind < len(_WHOLE) + len(_MEMBERS[dataset]):
        name, value = _MEMBERS[dataset][kind - len(_WHOLE)]
        return _with(text, name, value).encode()
    key = "asOf" if dataset == "securities" else "timestamp"
    ahead = (moment + timedelta(seconds=rng.randrange(6, 90_000_000))).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    wrong = rng.choice([ahead, "1989-12-31T23:59:59Z", "2025-10-02T12:00:00", "yesterday"])
    return _with(text, key, _quoted(wrong)).encode()


_WHOLE: tuple[Callable[[str], bytes | None], ...] = (
    lambda text: None,  # a tombstone
    lambda text: b"",
    lambda text: b"not a record",
    lambda text: text[: len(text) // 2].encode(),
    lambda text: b"\xff" + text.encode(),
    lambda text: text.encode().replace(b'":"', b'":"\xff', 1),
    lambda text: (text[:-1] + ',"instrumentId":"twice"}').encode(),
    lambda text: (text[:-1] + ',"colour":"red"}').encode(),
    lambda text: text.encode() + b" " * 300_000,
    lambda text: text.encode()[:-1] + b',"venue":"' + b"x" * 900_000 + b'"}',
)

_ALWAYS = (("instrumentId", None), ("instrumentId", "null"), ("instrumentId", '""'),
           ("instrumentId", "7"))  # fmt: skip
_MEMBERS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "trades": (
        *_ALWAYS,
        ("price", "-1.5"),
        ("price", "0"),
        ("price", "NaN"),
        ("price", '"abc"'),
        ("price", "true"),
        ("price", "1.0000000001"),
        ("quantity", "99999999999999999999"),  # no product of it fits the notional
        ("quantity", "0"),
        ("quantity", "-Infinity"),
        ("quantity", None),
        ("buySellIndicator", '"X"'),
        ("status", '"GONE"'),
        ("sequence", '"1"'),
        ("tradeId", None),
    ),
    "quotes": (
        *_ALWAYS,
        ("bidPrice", "-0.000000001"),
        ("offerPrice", '"inf"'),
        ("bidSize", "-1"),
        ("offerSize", "[1]"),
        ("side", '"UP"'),
        ("dealerId", None),
    ),
    "securities": (
        *_ALWAYS,
        ("tickSize", "0"),
        ("priceMultiplier", "-1"),
        ("issuer", None),
        ("securityName", "null"),
        ("cusip", "37833100"),
    ),
}


def _with(text: str, name: str, value: str | None) -> str:
    """The JSON text with one member set to other JSON text, or taken away."""
    members = json.loads(text, parse_float=_Verbatim, parse_int=_Verbatim)
    texts = {key: _text_of(given) for key, given in members.items()}
    texts.pop(name, None)
    if value is not None:
        texts[name] = value
    return "{" + ",".join(f"{_quoted(key)}:{given}" for key, given in texts.items()) + "}"


class _Verbatim(str):
    """A number exactly as it was written."""


def _text_of(value: object) -> str:
    return str(value) if isinstance(value, _Verbatim) else json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
