"""CUSIP and ISIN with right check digits, for whole columns at once (analytics.md 19)."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.int64]

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHARACTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
# I and O are left out of issued CUSIPs because they read as 1 and 0.
_ISSUED = np.array([v for v, c in enumerate(ALPHABET) if c not in "IO"], dtype=np.int64)
ISSUES_PER_ISSUER = len(_ISSUED) ** 2
MAX_ISSUERS = len(_ISSUED) ** 4


def invented_cusip_bases(issuer: Values, issue: Values) -> Values:
    """Values (n, 8) of CUSIPs in the block 99...., which is reserved for internal use.

    No invented bond can therefore carry the number of a real one.
    """
    base = np.full((len(issuer), 8), 9, dtype=np.int64)
    base[:, 2:6] = _digits(issuer, 4)
    base[:, 6:8] = _digits(issue, 2)
    return base


def values_of(texts: list[str]) -> Values:
    """Character values (n, width) of upper-case alphanumeric texts of one width."""
    return np.array([[ALPHABET.index(char) for char in text] for text in texts], dtype=np.int64)


def with_cusip_digit(base: Values) -> Values:
    """(n, 8) -> (n, 9): every second value doubled, digits summed, modulus 10."""
    weighted = base.copy()
    weighted[:, 1::2] *= 2
    total = (weighted // 10 + weighted % 10).sum(axis=1)
    return np.column_stack([base, -total % 10])


def us_isin(cusip: Values) -> Values:
    """(n, 9) -> (n, 12): US, the CUSIP, and the Luhn digit of ISO 6166."""
    country = np.tile(values_of(["US"]), (len(cusip), 1))
    payload = np.column_stack([country, cusip])
    return np.column_stack([payload, _luhn_digit(payload)])


def texts_of(values: Values) -> npt.NDArray[np.str_]:
    """Values (n, width) as n texts."""
    width = values.shape[1]
    codes = np.ascontiguousarray(_CHARACTERS[values])
    return codes.view(f"S{width}").ravel().astype(f"U{width}")


def _luhn_digit(payload: Values) -> Values:
    """From the right, a letter being two digits; the rightmost digit is doubled first."""
    total = np.zeros(len(payload), dtype=np.int64)
    doubled = np.ones(len(payload), dtype=bool)
    for column in payload.T[::-1]:
        letter = column >= 10
        total += _luhn_term(column % 10, doubled)
        total += np.where(letter, _luhn_term(column // 10, ~doubled), 0)
        # A digit moves the rhythm on by one; a letter, being two digits, leaves it as it was.
        doubled = np.where(letter, doubled, ~doubled)
    return -total % 10


def _luhn_term(digit: Values, doubled: npt.NDArray[np.bool_]) -> Values:
    twice = digit * 2
    return np.where(doubled, twice // 10 + twice % 10, digit)


def _digits(number: Values, width: int) -> Values:
    """Big-endian digits of `number` in the alphabet of issued characters, as values."""
    powers = len(_ISSUED) ** np.arange(width - 1, -1, -1)
    digits: Values = _ISSUED[number[:, None] // powers % len(_ISSUED)]
    return digits
