"""ISO-8601 times in the one form that machines write, read eight characters at a time."""

import numpy as np

from ingestion.laid_out import LOW, Ints, LaidOut, Mask, Words

SECOND = 1_000_000_000
_SHORTEST = len("2025-10-02T14:30:00Z")
_LONGEST = len("2025-10-02T14:30:00.123456789Z")
_FIRST_DECIMAL = 20

_ZEROS = np.uint64(0x3030303030303030)
_SIXES = np.uint64(0x0606060606060606)
_HIGH = np.uint64(0xF0F0F0F0F0F0F0F0)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


def to_ns(text: LaidOut, starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Times between the positions to ns since epoch UTC, and which of them could be read here.

    Read is YYYY-MM-DDTHH:MM:SSZ, with a point and one to nine decimals or without, in the years
    1700 to 2199. Any other time, right or wrong, is for the general reader. The text is ASCII.
    """
    length = ends - starts
    date, clock, tail = (text.words[starts + at] for at in (0, 8, 16))
    read = (length == _SHORTEST) | ((length > _SHORTEST + 1) & (length <= _LONGEST))
    read &= _has_form(date, b"0000-00-") & _has_form(clock, b"00T00:00") & _has_form(tail, b":00")
    read &= text.octets[ends - 1] == ord("Z")
    dates, clocks, seconds = (_pairs(words) for words in (date, clock, tail))
    days, is_date = _days(
        _pair(dates, 0) * 100 + _pair(dates, 2), _pair(dates, 5), _pair(clocks, 0)
    )
    hour, minute, second = _pair(clocks, 3), _pair(clocks, 6), _pair(seconds, 1)
    read &= is_date & (hour < 24) & (minute < 60) & (second < 60)
    nanos = (((days * 24 + hour) * 60 + minute) * 60 + second) * SECOND
    if (length == _SHORTEST).all():
        return nanos, read
    decimals = np.clip(length - 1 - _FIRST_DECIMAL, 0, 9)
    fraction, is_fraction = _fraction(text, starts + _FIRST_DECIMAL, decimals)
    is_fraction &= text.octets[starts + _FIRST_DECIMAL - 1] == ord(".")
    return nanos + fraction, read & (is_fraction | (length == _SHORTEST))


def _has_form(words: Words, form: bytes) -> Mask:
    """Has each word a digit where the form has a 0, and the form's own character elsewhere?"""
    digit = LOW[0]
    mark = other = LOW[0]
    for at, byte in enumerate(form):
        place = np.uint64(0xFF << 8 * at)
        if byte == ord("0"):
            digit |= place
        else:
            other |= place
            mark |= np.uint64(byte << 8 * at)
    alike: Mask = (words & other) == mark
    return alike & _are_digits(words, digit)


def _are_digits(words: Words, where: np.uint64 | Words) -> Mask:
    """Are the characters under the mask digits? (A digit is 0x30 to 0x39; ASCII has no carry.)"""
    digits: Mask = ((((words ^ _ZEROS) & where) + _SIXES) & _HIGH) == 0
    return digits


def _pairs(words: Words) -> Words:
    """In each byte, the number that the digit of that character and of the next one spell."""
    digits = words & _NIBBLES
    return digits * np.uint64(10) + (digits >> np.uint64(8))  # 165 at most: no carry


def _pair(pairs: Words, first: int) -> Ints:
    return ((pairs >> np.uint64(8 * first)) & np.uint64(0xFF)).view(np.int64)


def _eight_digits(words: Words) -> Ints:
    """The number that the eight digits of each word spell: pairs, then fours, then all."""
    pairs = _pairs(words) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    eight = fours * np.uint64(10_000) + (fours >> np.uint64(32))
    return (eight & np.uint64(0xFFFFFFFF)).view(np.int64)


def _days(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Mask]:
    """Days since 1970-01-01, and which of the dates exist."""
    valid = (year >= 1700) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1)
    month = np.where(valid, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    valid &= day <= _MONTH_DAYS[month] + (leap & (month == 2))
    # The year begins in March, so that a leap day is its last.
    shifted = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year
    return days - 719_468, valid


def _fraction(text: LaidOut, starts: Ints, decimals: Ints) -> tuple[Ints, Mask]:
    """Nanoseconds of up to nine decimals, and which of them are digits."""
    mine = LOW[np.minimum(decimals, 8)]
    words = text.words[starts]
    ninth = text.octets[starts + 8] - np.uint8(ord("0"))  # wraps below the digits
    has_ninth = decimals == 9
    read = (decimals > 0) & _are_digits(words, mine) & (~has_ninth | (ninth <= 9))
    eight = _eight_digits(words & mine)  # what is not there counts as 0
    return eight * 10 + np.where(has_ninth, ninth, 0), read
