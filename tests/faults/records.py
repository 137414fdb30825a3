"""Sound records of all ten datasets as JSON text, seeded, written in every way JSON allows."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.oracle_wire import TIME, WIRE

INSTRUMENTS = ("BOND_00001", "BOND_00002", "AAPL", "Ünïcode 株")
VENUES = ('"NYSE"', '"NASDAQ"', '"BATS"')
MSG_TYPES = ("T", "A", "C", "M", "F", "R")
ABSENT_SHARE, NULL_SHARE, ODD_SHARE = 0.4, 0.1, 0.1

Members = dict[str, str]  # wire name -> JSON text of the value

# Optional on the wire, but not in every record: their makers decide whether they are there.
_DECIDED = {"orders": {"price"}, "book_updates": {"price"}}


def sound(rng: random.Random, dataset: str, number: int, moment: datetime) -> str:
    """A record of an event in the hour before `moment` that keeps the contract, as JSON text."""
    members = _MAKERS[dataset](rng, number)
    members[TIME[dataset]] = _time(
        rng, moment - timedelta(microseconds=rng.randrange(3_600 * 10**6))
    )
    for wire, (_, kind) in WIRE[dataset].items():
        if kind[-1] in "!*" or wire in _DECIDED.get(dataset, ()):
            continue
        drawn = rng.random()
        if drawn < ABSENT_SHARE:
            members.pop(wire, None)
        elif drawn < ABSENT_SHARE + NULL_SHARE:
            members[wire] = "null"
    return written(members, rng)


def written(members: Members, rng: random.Random | None = None) -> str:
    """One JSON object; with an `rng` in any order, now and then oddly spaced and escaped."""
    named = [(quoted(key), value) for key, value in members.items()]
    if rng is None or rng.random() > ODD_SHARE:
        return "{" + ",".join(f"{key}:{value}" for key, value in named) + "}"
    rng.shuffle(named)
    gap = rng.choice([" ", "\n", "\t\r\n "])
    escaped = [(f'"\\u{ord(key[1]):04x}{key[2:]}', value) for key, value in named]
    return (
        "{" + f"{gap},{gap}".join(f"{gap}{key}{gap}:{gap}{value}" for key, value in escaped) + "}"
    )


def quoted(text: str) -> str:
    """JSON text of a string."""
    return json.dumps(text, ensure_ascii=False)


def _time(rng: random.Random, stamp: datetime) -> str:
    whole = stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.")
    elsewhere = stamp + timedelta(hours=2)
    return rng.choice(
        [
            f'"{whole}{stamp.microsecond // 1000:03}Z"',
            f'"{whole}{stamp.microsecond:06}Z"',
            f'"{whole}{stamp.microsecond:06}{rng.randrange(1000):03}Z"',
            elsewhere.strftime('"%Y-%m-%dT%H:%M:%S+02:00"'),
            str(int(stamp.timestamp() * 1000)),
        ]
    )


def number(rng: random.Random, whole: int, decimals: int, sign: str = "") -> str:
    """A number within these widths, now and then as text or in scientific notation."""
    shift = rng.randrange(decimals + 1)
    units = rng.randrange(1, 10 ** (whole + shift))
    plain = f"{sign}{units // 10**shift}" + (f".{units % 10**shift:0{shift}}" if shift else "")
    odd = [f'"{plain}"', f"{sign}{units}e-{shift}", f"{sign}{units}.0E-{shift:02}"]
    return rng.choice([plain, plain, plain, *odd])


def _price(rng: random.Random) -> str:
    return number(rng, 5, 9)


def _size(rng: random.Random) -> str:
    return number(rng, 8, 8)


def _signed(rng: random.Random, whole: int, decimals: int) -> str:
    return rng.choice(["0", number(rng, whole, decimals), number(rng, whole, decimals, "-")])


def _instrument(rng: random.Random) -> str:
    return quoted(rng.choice(INSTRUMENTS))


def _trade(rng: random.Random, number: int) -> Members:
    return {
        "tradeId": quoted(f"T{number}"),
        "instrumentId": _instrument(rng),
        "price": _price(rng),
        "quantity": _size(rng),
        "buySellIndicator": rng.choice(['"B"', '"S"', "null", '""']),
        "venue": '"XNYS"',
        "trader": quoted(f"TRADER_{number % 20}"),
        "sequence": str(number),
        "conditions": rng.choice(['"a \\"quoted\\" mark"', '"@FTI"', '""']),
        "suspicious": rng.choice(["true", "false"]),
        "status": rng.choice(['"NEW"', '"CORRECT"', '"CANCEL"']),
        "refTradeId": quoted(f"T{number - 1}"),
        "version": str(1 + number % 3),
        "sessionId": quoted(f"S{number % 2}"),
    }


def _quote(rng: random.Random, number: int) -> Members:
    return {
        "instrumentId": _instrument(rng),
        "dealerId": quoted(f"DEALER_{number % 12:03}"),
        "venue": '"OTC"',
        "bidPrice": rng.choice(["null", "0", _price(rng)]),
        "offerPrice": _price(rng),
        "bidSize": rng.choice(["0", _size(rng)]),
        "offerSize": _size(rng),
        "sequence": str(number),
        "quoteType": rng.choice(['"F"', '"I"']),
        "side": rng.choice(['"BID"', '"OFFER"']),
        "action": rng.choice(['"UPDATE"', '"DELETE"']),
        "price": rng.choice(["0", _price(rng)]),
        "size": _size(rng),
        "level": str(number % 5),
        "sessionId": quoted(f"S{number % 2}"),
    }


def _security(rng: random.Random, number: int) -> Members:
    return {
        "instrumentId": _instrument(rng),
        "securityName": quoted(f"Name {number}"),
        "cusip": '"037833100"',
        "isin": '"US0378331005"',
        "marketSegment": rng.choice(['"HG"', '"HY"', "null"]),
        "issuer": quoted(f"Issuer {number % 7}"),
        "currency": '"USD"',
        "priceMultiplier": rng.choice(["1", "0.01", "1e-2"]),
        "tickSize": rng.choice(["0.0001", '"0.25"', "5E-3"]),
    }


def _order(rng: random.Random, number: int) -> Members:
    """What ends an order, or clears the book, may say neither price nor quantity nor side."""
    kind = rng.choice(MSG_TYPES)
    is_priced = kind in "TAM" or rng.random() < 0.5
    sides = ['"B"', '"S"', *(["null"] if kind not in "AM" else [])]
    members = {
        "msgId": rng.choice([quoted(f"M{number}"), "null"]),
        "instrumentId": _instrument(rng),
        "venue": '"XNYM"',
        "orderId": quoted(f"O{number // 3}"),
        "volume": _size(rng) if kind in "TAM" else rng.choice(["0", _size(rng)]),
        "side": rng.choice(sides),
        "msgType": quoted(kind),
        "sequence": rng.choice([str(number), "null"]),
    }
    return {**members, "price": _price(rng)} if is_priced else members


def _market_data(rng: random.Random, number: int) -> Members:
    return {
        "symbol": _instrument(rng),
        "exchange": rng.choice(VENUES),
        "price": _price(rng),
        "bid_price": rng.choice(["0", _price(rng)]),
        "ask_price": rng.choice(["0", _price(rng)]),
        "bid_size": rng.choice(["0", _size(rng)]),
        "ask_size": _size(rng),
        "volume": rng.choice(["0", _size(rng)]),
        "sequence": str(number),
    }


def _position(rng: random.Random, number: int) -> Members:
    return {
        "trader_id": quoted(f"TRADER_{number % 20:03}"),
        "symbol": _instrument(rng),
        "position_size": _signed(rng, 8, 8),
        "avg_price": _price(rng),
        "current_pnl": _signed(rng, 12, 8),
    }


def _book_update(rng: random.Random, number: int) -> Members:
    """Only a limit needs a price."""
    kind = rng.choice(["LIMIT", "MARKET", "CANCEL"])
    members = {
        "symbol": _instrument(rng),
        "exchange": rng.choice(VENUES),
        "side": rng.choice(['"BUY"', '"SELL"']),
        "order_type": quoted(kind),
        "quantity": _size(rng),
        "order_id": quoted(f"B{number}"),
        "sequence": str(number),
    }
    is_priced = kind == "LIMIT" or rng.random() < 0.5
    return {**members, "price": _price(rng)} if is_priced else members


def _post(rng: random.Random, number: int) -> Members:
    return {
        "platform": rng.choice(['"reddit"', '"x"']),
        "post_id": quoted(f"P{number}"),
        "author": quoted(f"user {number % 9}"),
        "text": rng.choice(
            ['"to the \\"moon\\" \\ud83d\\ude80\\n$AAPL"', '"株 goes up"', '"{\\"a\\":1}"']
        ),
        "score": str(rng.randrange(-500, 500)),
        "tickers": rng.choice(["[]", '["AAPL"]', '[ "AAPL" , "B\\"RK", "" ]', '["A","A"]']),
    }


def _bar(rng: random.Random, number: int) -> Members:
    low, first, last, high = sorted(rng.randrange(1, 10**8) for _ in range(4))
    prices = {"open": first, "high": high, "low": low, "close": last}
    if rng.random() < 0.3:  # a bar of one price, of a window with one trade
        prices = dict.fromkeys(prices, low)
    return {
        "symbol": _instrument(rng),
        "exchange": rng.choice(VENUES),
        "interval": quoted(rng.choice(["1s", "10s", "1m", "5m", "1h", "1d"])),
        **{name: f"{price}e-4" for name, price in prices.items()},
        "volume": rng.choice(["0", _size(rng)]),
        "vwap": _price(rng),
        "trade_count": str(rng.randrange(1_000)),
    }


def _alert(rng: random.Random, number: int) -> Members:
    """Rules fill different members, and the contract asks for none but the time."""
    texts = ("alert_id", "rule", "symbol", "exchange", "trader_id", "severity", "buy_exchange",
             "sell_exchange")  # fmt: skip
    prices = ("price", "prev_price", "buy_price", "sell_price")
    ratios = ("value", "threshold", "reference", "price_change_pct", "avg_volume", "z_score",
              "imbalance", "edge_bps")  # fmt: skip
    return {
        **{name: quoted(f"{name} {number}") for name in texts},
        **{name: _price(rng) for name in prices},
        **{name: _signed(rng, 9, 18) for name in ratios},
        **{name: _size(rng) for name in ("volume", "buy_volume", "sell_volume")},
        "profit": _signed(rng, 9, 8),
        "duration_ms": str(number),
    }


_MAKERS: dict[str, Callable[[random.Random, int], Members]] = {
    "trades": _trade,
    "quotes": _quote,
    "securities": _security,
    "orders": _order,
    "market_data": _market_data,
    "positions": _position,
    "book_updates": _book_update,
    "posts": _post,
    "bars": _bar,
    "alerts": _alert,
}
