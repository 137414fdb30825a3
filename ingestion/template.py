"""Records that are alike but for their values, decoded together.

A producer writes its records in one way: the same keys in the same order. What stays the same from
one to the next, the template, is learned from a record that the strict decoder took. A record with
exactly the template's bytes around values of the same form is as valid as the first, and its
values stand between known positions. Whatever differs in any way is left to the strict decoder:
nothing is decided here, it is only faster.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts.base import Column, Contract
from contracts.derive.wire import decoder
from ingestion import iso_time
from ingestion.columns import epoch_to_ns
from ingestion.laid_out import MAX_BYTES, Ints, LaidOut, Mask

FEWEST = 64  # below this many records, learning does not pay
PART = 16_384  # records whose vectors stay in the processor's cache
ATTEMPTS = 8

_MEMBER = re.compile(
    rb'"([^"\\]*)"\s*:\s*(?:"([^"\\]*)"|(-?[0-9][0-9.]*)|(null|true|false))(?=\s*[,}])'
)
_NOTHING_ELSE = re.compile(rb"\s*\{[\s,]*\}\s*")
_CONSTANTS = {b"null": None, b"true": True, b"false": False}
_WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"  # as JSON writes it, in 64 bits whatever the digits


@dataclass(frozen=True)
class Slot:
    """A value that changes: its column, and whether it stands in quotation marks."""

    column: Column
    quoted: bool


@dataclass(frozen=True)
class Template:
    """literals[0], slots[0], literals[1], slots[1], ..., literals[-1] make a record.

    The quotation marks of a slot belong to the literals. `constants` are the columns whose value
    is part of a literal: true, false or null.
    """

    literals: tuple[bytes, ...]
    slots: tuple[Slot, ...]
    constants: dict[str, bool | None]


def decode_alike(
    contract: Contract, records: Sequence[bytes], max_bytes: int
) -> tuple[pl.DataFrame, list[int]]:
    """Decode the records that are alike; returns their rows, and the places of all others.

    The rows have the contract's columns and `i`, the record's place, in rising order.
    """
    frames = [empty(contract)]
    if all(column.kind != "texts" for column in contract.columns):
        text = records if isinstance(records, LaidOut) else LaidOut.of(records)
        if len(text.buffer) < MAX_BYTES:
            for first in range(0, len(text), PART):
                part = text.part(first, min(first + PART, len(text)))
                frames += _part(contract, part, first, max_bytes)
    rows = pl.concat(frames)
    others = np.ones(len(records), dtype=np.bool_)
    others[rows["i"].to_numpy()] = False
    return rows, np.flatnonzero(others).tolist()


def _part(contract: Contract, text: LaidOut, first: int, max_bytes: int) -> list[pl.DataFrame]:
    """Rows of the records that stand from place `first` on, where they are alike."""
    fit = text.plain() & (text.ends - text.starts <= max_bytes)
    frames = list(_groups(contract, text, first, fit))
    return frames if len(frames) < 2 else [pl.concat(frames).sort("i")]


def empty(contract: Contract) -> pl.DataFrame:
    """No rows, in the form that decoding gives them."""
    return pl.DataFrame(
        schema={**{column.name: column.dtype for column in contract.columns}, "i": pl.UInt32}
    )


def _groups(contract: Contract, text: LaidOut, first: int, waiting: Mask) -> Iterator[pl.DataFrame]:
    """Rows of one template after the other, while there are many left for the next."""
    for _ in range(ATTEMPTS):
        left = np.flatnonzero(waiting)
        if len(left) < FEWEST:
            return
        counts = text.quote_count[left]
        alike = left[counts == np.bincount(counts).argmax()]
        sample = alike[len(alike) // 2]
        template = learn(contract, text[sample])
        waiting[sample] = False
        if template is not None:
            places, begins = _placed(template, text, alike)
            waiting[places] = False  # also where a value has another form: no template helps there
            yield _rows(contract, template, text, places + first, begins)


def learn(contract: Contract, record: bytes) -> Template | None:
    """The template of a record, None if there is none to be learned from it.

    That is so where the strict decoder refuses the record, a key is repeated, or a value is
    neither a text without escapes, nor a number without an exponent, nor true, false or null.
    """
    try:
        decoder(contract.dataset).decode(record)
    except (ValueError, RecursionError):
        return None
    if not _NOTHING_ELSE.fullmatch(_MEMBER.sub(b"", record)):
        return None
    literals: list[bytes] = []
    slots: list[Slot] = []
    constants: dict[str, bool | None] = {}
    begins = 0
    for member in _MEMBER.finditer(record):
        column = contract.by_wire[member[1].decode()]
        if column.name in constants or any(slot.column == column for slot in slots):
            return None
        if member[4] is not None:
            constants[column.name] = _CONSTANTS[member[4]]
            continue
        group = 2 if member[2] is not None else 3
        slots.append(Slot(column, quoted=group == 2))
        literals.append(record[begins : member.start(group)])
        begins = member.end(group)
    if any(
        constants[column.name] is not None and column.kind != "boolean"
        for column in contract.columns
        if column.name in constants
    ):
        return None
    return Template((*literals, record[begins:]), tuple(slots), constants)


def _rows(
    contract: Contract, template: Template, text: LaidOut, places: Ints, begins: Sequence[Ints]
) -> pl.DataFrame:
    """Rows of the records whose values have the slots' forms; literals begin at `begins`."""
    found: dict[str, pl.Series] = {}
    sound = np.ones(len(places), dtype=np.bool_)
    for number, slot in enumerate(template.slots):
        starts = begins[number] + len(template.literals[number])
        values, read = _values(contract, slot, text, starts, begins[number + 1])
        found[slot.column.name] = values
        sound &= read
    columns = [
        found[column.name].alias(column.name)
        if column.name in found
        else _constant(column, template.constants.get(column.name), len(places))
        for column in contract.columns
    ]
    frame = pl.DataFrame([*columns, pl.Series("i", places, dtype=pl.UInt32)])
    return frame if sound.all() else frame.filter(pl.Series(sound))


def _constant(column: Column, value: bool | None, rows: int) -> pl.Series:
    return pl.Series(column.name, [value], dtype=column.dtype).new_from_index(0, rows)


def _placed(template: Template, text: LaidOut, alike: Ints) -> tuple[Ints, list[Ints]]:
    """Records that have the template's bytes, and where each of its literals begins in them."""
    begins: list[Ints] = []
    quote = text.first_quote[alike]
    for literal in template.literals:
        at = literal.find(b'"')
        if at >= 0:
            begins.append(text.quotes[quote] - at)
        else:  # only what closes the record has no key in it
            begins.append(text.ends[alike] - len(literal))
        quote = quote + literal.count(b'"')
    sizes = [len(literal) for literal in template.literals]
    fits = (begins[0] == text.starts[alike]) & (begins[-1] + sizes[-1] == text.ends[alike])
    for before, size, after, slot in zip(begins, sizes, begins[1:], template.slots, strict=False):
        fits &= before + size <= after if slot.quoted else before + size < after
    alike, begins = _only(fits, alike, begins)
    fits = np.ones(len(alike), dtype=np.bool_)
    for begin, literal in zip(begins, template.literals, strict=True):
        fits &= text.holds(begin, literal)
    return _only(fits, alike, begins)


def _only(fits: Mask, alike: Ints, begins: list[Ints]) -> tuple[Ints, list[Ints]]:
    if fits.all():
        return alike, begins
    return alike[fits], [begin[fits] for begin in begins]


def _values(
    contract: Contract, slot: Slot, text: LaidOut, starts: Ints, ends: Ints
) -> tuple[pl.Series, Mask]:
    """A slot's values, and which of them have the form that is read here."""
    column = slot.column
    if column.kind == "time" and slot.quoted:
        nanos, read = iso_time.to_ns(text, starts, ends)
        return pl.Series(nanos), read
    values = text.texts(starts, ends)
    if column.kind == "text":
        absent = (starts == ends).any()
        return (values.replace("", None) if absent else values), np.ones(len(starts), np.bool_)
    is_plain = values.str.contains(_decimal_form(column) if column.kind == "decimal" else _WHOLE)
    if not is_plain.all():
        values = values.set(~is_plain, None)
    if isinstance(column.dtype, pl.Decimal):
        numbers = values.cast(column.dtype)
    else:
        numbers = values.cast(pl.Int64)
    if column.kind == "time":
        numbers = epoch_to_ns(numbers, contract.epoch_unit)
    return numbers, is_plain.to_numpy()


def _decimal_form(column: Column) -> str:
    """A number as JSON writes it, without an exponent, that fits the column as it is."""
    assert isinstance(column.dtype, pl.Decimal)
    precision, scale = column.dtype.precision or 38, column.dtype.scale
    fraction = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    return rf"^-?(0|[1-9][0-9]{{0,{precision - scale - 1}}}){fraction}$"
