"""Corporate bonds of invented issuers, by their number.

Everything about bond number b is a function of the plan's seed and b alone, so that any of ten
million can be made without the others: a few hundred that trade, or the master block by block.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate import identifiers
from ingestion.generate.plan import Plan

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

BONDS_PER_ISSUER = 20
# Past every issuer of bonds: what else is invented takes its CUSIPs from this one.
LAST_ISSUER = identifiers.MAX_ISSUERS - 1
MAX_BONDS = LAST_ISSUER * BONDS_PER_ISSUER
COUPON_EIGHTHS, MATURITY_YEARS, MONTHS = range(8, 72), range(2027, 2056), range(1, 13)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2 ** 64 over the golden ratio

# fmt: off
_FIRST = (
    "Aldgate", "Barrow", "Calder", "Dunmore", "Elmhurst", "Fairlight", "Granby", "Halden",
    "Ironbridge", "Juniper", "Kestrel", "Larkspur", "Meridian", "Norwood", "Oakhaven",
    "Pemberton", "Quarry", "Ridgeway", "Stanhope", "Thornbury", "Umber", "Vantage", "Westmark",
    "Yarrow", "Zenith", "Ashcombe", "Blackwater", "Castell", "Delmar", "Everdene", "Foxley",
    "Glenmore", "Harcourt", "Inverness", "Kingsway", "Lowell", "Müller", "Northgate", "Orchard",
    "Pinecrest",
)
_SECOND = (
    "Energy", "Water", "Rail", "Health", "Foods", "Materials", "Power", "Telecom", "Freight",
    "Insurance", "Chemicals", "Retail", "Capital", "Aerospace", "Motors", "Paper", "Steel",
    "Semiconductor", "Logistics", "Media", "Pharma", "Homes", "Leasing", "Mining", "Utilities",
)
# fmt: on
_LAST = ("Inc", "Corp", "Holdings", "Group", "PLC")


def bond_terms(plan: Plan, numbers: Ints) -> pl.DataFrame:
    """What the security master says of each bond:

    instrument_id, name, issuer, cusip, isin, segment. Raises ValueError past MAX_BONDS.
    """
    issuer, issue = np.divmod(numbers, BONDS_PER_ISSUER)
    if len(numbers) and int(issuer.max()) >= LAST_ISSUER:
        raise ValueError(f"bonds: {MAX_BONDS} bonds have a CUSIP; ask for fewer securities")
    cusip = identifiers.with_cusip_digit(identifiers.invented_cusip_bases(issuer, issue))
    issuers, place = _runs(issuer)
    segments = pl.Series([segment.code for segment in plan.market.segments])
    number = pl.Series(numbers + 1).cast(pl.String).str.zfill(6)
    issued_by = issuer_names(issuers).gather(place)
    return pl.select(
        instrument_id=pl.concat_str(pl.lit("BOND_"), number),
        name=pl.concat_str(issued_by, pl.lit(" "), _terms_texts().gather(_terms(plan, numbers))),
        issuer=issued_by,
        cusip=identifiers.texts_of(cusip),
        isin=identifiers.texts_of(identifiers.us_isin(cusip)),
        segment=segments.gather(_segment_of_issuer(plan, issuers)[place]),
    )


def bond_facts(plan: Plan, numbers: Ints) -> pl.DataFrame:
    """The columns of `bond_terms`, and how each bond trades:

    price (opening level per 100), volatility (annual), spread_low, spread_high (bps), each by
    the bounds of its segment.
    """
    segments = plan.market.segments
    segment = _segment_of_issuer(plan, numbers // BONDS_PER_ISSUER)
    low, high = np.array([s.prices for s in segments])[segment].T
    spread_low, spread_high = np.array([s.spread_bps for s in segments])[segment].T
    return bond_terms(plan, numbers).with_columns(
        price=low + (high - low) * _uniform(_draws(plan, "bond price", numbers)),
        volatility=np.array([s.volatility for s in segments])[segment],
        spread_low=spread_low,
        spread_high=spread_high,
    )


def issuer_names(issuer: Ints) -> pl.Series:
    """Invented company names, one for each issuer number."""
    first, second, last = pl.Series(_FIRST), pl.Series(_SECOND), pl.Series(_LAST)
    rest, first_place = np.divmod(issuer, len(first))
    rest, second_place = np.divmod(rest, len(second))
    series, last_place = np.divmod(rest, len(last))
    numbered = pl.concat_str(pl.lit(" "), (pl.Series(series) + 1).cast(pl.String))
    return pl.select(
        pl.concat_str(
            first.gather(first_place),
            pl.lit(" "),
            second.gather(second_place),
            pl.when(pl.Series(series) > 0).then(numbered).otherwise(pl.lit("")),
            pl.lit(" "),
            last.gather(last_place),
        )
    ).to_series()


def _segment_of_issuer(plan: Plan, issuer: Ints) -> Ints:
    """Segment index of each issuer.

    Steps of the golden ratio around a circle cut by the shares: they hold in any run of issuers,
    to within one or two of them.
    """
    share = np.array([segment.share for segment in plan.market.segments])
    start = _key(plan, "bond segment")
    place = _uniform(start + issuer.astype(np.uint64) * _GOLDEN)
    return np.searchsorted(np.cumsum(share / share.sum())[:-1], place, side="right")


def _terms(plan: Plan, numbers: Ints) -> Ints:
    """Place of each bond's coupon and maturity among `_terms_texts`."""
    wide = _draws(plan, "bond terms", numbers) >> np.uint64(32)
    place = (wide * np.uint64(len(_terms_texts()))) >> np.uint64(32)
    return place.astype(np.int64)


@cache
def _terms_texts() -> pl.Series:
    """Every text such as `4.375% 2031-06-15`; coupons go in eighths of a percent."""
    texts = [
        f"{eighths // 8}.{eighths % 8 * 125:03d}% {year}-{month:02d}-15"
        for eighths in COUPON_EIGHTHS
        for year in MATURITY_YEARS
        for month in MONTHS
    ]
    return pl.Series(texts)


def _runs(values: Ints) -> tuple[Ints, Ints]:
    """The first of each run of equal values, and for every row the place of its run."""
    first = np.ones(len(values), dtype=bool)
    first[1:] = values[1:] != values[:-1]
    return values[first], np.cumsum(first) - 1


def _draws(plan: Plan, name: str, numbers: Ints) -> Words:
    """64 random bits for each number (SplitMix64 at position `number`; Steele et al. 2014)."""
    word = _key(plan, name) + numbers.astype(np.uint64) * _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _key(plan: Plan, name: str) -> np.uint64:
    return plan.rng(name).integers(0, 2**64, dtype=np.uint64)


def _uniform(word: Words) -> Floats:
    """The upper 53 bits as a number in [0, 1)."""
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53
