"""Quotes of a feed whose rows speak only of the sides that they give."""

import polars as pl

from contracts.codes import RejectCode

Reject = tuple[int, str, str]

UPDATE = "UPDATE"
_NAMES = {"BID": ("bid_price", "bid_size"), "OFFER": ("offer_price", "offer_size")}


def given_sides(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Reject]]:
    """Rows with one side in the one-sided form, rows with two as they are.

    A side whose price and size are both null or zero is not in its row: not withdrawn, just not
    spoken of. A row with no side at all is refused.
    """
    bid, offer = (_is_given(*names) for names in _NAMES.values())
    none = frame.filter(~bid & ~offer)["i"].to_list()
    alone = {"BID": bid & ~offer, "OFFER": offer & ~bid}
    either = alone["BID"] | alone["OFFER"]

    def of_alone(place: int) -> pl.Expr:
        own = pl.when(alone["BID"]).then(_NAMES["BID"][place])
        return own.when(alone["OFFER"]).then(_NAMES["OFFER"][place])

    split = frame.filter(bid | offer).with_columns(
        pl.when(alone["BID"]).then(pl.lit("BID")).when(alone["OFFER"]).then(pl.lit("OFFER"))
        .alias("side"),
        pl.when(either).then(pl.lit(UPDATE)).alias("action"),
        of_alone(0).alias("price"),
        of_alone(1).alias("size"),
        *(pl.when(~either).then(name).alias(name) for pair in _NAMES.values() for name in pair),
    )  # fmt: skip
    why = "neither side is given: bid and offer are 0 or empty"
    return split, [(row, RejectCode.SCHEMA_MISSING_FIELD.value, why) for row in none]


def _is_given(price: str, size: str) -> pl.Expr:
    return (pl.col(price).fill_null(0) != 0) | (pl.col(size).fill_null(0) != 0)
