"""CUSIP and ISIN with right check digits, for whole columns at once (analytics.md 19).

Values are numbers of characters (0-9, A = 10 .. Z = 35), in arrays (width, n): one row for each
place in the text, so that every step runs over unbroken memory.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Values = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHARACTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
# I and O are left out of issued CUSIPs because they read as 1 and 0.
_ISSUED = np.array([v for v, c in enumerate(ALPHABET) if c not in "IO"], dtype=np.uint8)
_COUNTRY = [ALPHABET.index(char) for char in "US"]
_CHECK_DIGIT = np.array([-total % 10 for total in range(256)], dtype=np.uint8)
ISSUES_PER_ISSUER = len(_ISSUED) ** 2
MAX_ISSUERS = len(_ISSUED) ** 4


def invented_cusip_bases(issuer: Ints, issue: Ints) -> Values:
    """Values (8, n) of CUSIPs in the block 99...., which is reserved for internal use.

    No invented security can therefore carry the number of a real one. Raises ValueError for an
    issuer or an issue that the block has no number for.
    """
    for what, number, end in (("issuer", issuer, MAX_ISSUERS), ("issue", issue, ISSUES_PER_ISSUER)):
        if len(number) and not 0 <= int(number.min()) <= int(number.max()) < end:
            raise ValueError(
                f"identifiers: {what} numbers must lie in 0..{end - 1}, not "
                f"{number.min()}..{number.max()}; ask for fewer securities"
            )
    base = np.full((8, len(issuer)), 9, dtype=np.uint8)
    base[2:6] = _digits(issuer, 4)
    base[6:8] = _digits(issue, 2)
    return base


def values_of(texts: Sequence[str]) -> Values:
    """Character values (width, n) of upper-case alphanumeric texts of one width."""
    listed = [[ALPHABET.index(char) for char in text] for text in texts]
    return np.ascontiguousarray(np.array(listed, dtype=np.uint8).T)


def with_cusip_digit(base: Values) -> Values:
    """(8, n) -> (9, n): every second value doubled, digits summed, modulus 10."""
    weighted = base.copy()
    weighted[1::2] *= 2
    tens = weighted // 10
    total = (weighted - 9 * tens).sum(axis=0, dtype=np.uint8)
    return np.concatenate([base, _CHECK_DIGIT[total][None]])


def us_isin(cusip: Values) -> Values:
    """(9, n) -> (12, n): US, the CUSIP, and the Luhn digit of ISO 6166."""
    isin = np.empty((12, cusip.shape[1]), dtype=np.uint8)
    isin[:2] = np.array(_COUNTRY, dtype=np.uint8)[:, None]
    isin[2:11] = cusip
    isin[11] = _luhn_digit(isin[:11])
    return isin


def texts_of(values: Values) -> pl.Series:
    """Values (width, n) as n texts, by their bytes."""
    width, count = values.shape
    characters = np.ascontiguousarray(_CHARACTERS[values].T)
    ends = np.arange(count + 1, dtype=np.int64) * width
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(characters)]
    texts = pl.from_arrow(pa.Array.from_buffers(pa.large_string(), count, buffers))
    assert isinstance(texts, pl.Series)
    return texts


def _luhn_digit(payload: Values) -> Values:
    """From the right, a letter being two digits; the rightmost digit is doubled first."""
    total = np.zeros(payload.shape[1], dtype=np.uint8)
    doubled = np.ones(payload.shape[1], dtype=bool)
    for value in payload[::-1]:
        tens = value // 10
        total += _luhn_term(value - 10 * tens, doubled)
        total += _luhn_term(tens, ~doubled)
        # A digit moves the rhythm on by one; a letter, being two digits, leaves it as it was.
        doubled ^= tens == 0
    check: Values = _CHECK_DIGIT[total]
    return check


def _luhn_term(digit: Values, doubled: npt.NDArray[np.bool_]) -> Values:
    return digit + doubled * digit - np.uint8(9) * (doubled & (digit > 4))


def _digits(number: Ints, width: int) -> Values:
    """Big-endian digits (width, n) of `number` in the alphabet of issued characters, as values."""
    digits = np.empty((width, len(number)), dtype=np.uint8)
    left = number.astype(np.uint32)
    for place in range(width)[::-1]:
        rest = left // len(_ISSUED)
        digits[place] = _ISSUED[left - len(_ISSUED) * rest]
        left = rest
    return digits
