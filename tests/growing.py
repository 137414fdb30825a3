"""Contracts that understand more, and this process under one of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import polars as pl

from contracts import registry
from contracts.base import TEXTS, Contract, field
from contracts.derive import wire
from contracts.posts import CONTRACT as POSTS
from contracts.trades import CONTRACT


def grown(contract: Contract, versions: int, **added: Any) -> Contract:
    """A later version with more columns of text, or such as there are declared anew.

    It is made of a model of its own: pandera takes the names out of a model's rules when it first
    compiles them, so that a child of a model in use would have rules without names. A column that
    is no text is given as (type, field).
    """
    file = sys.modules[contract.model.__module__].__file__
    assert file
    spec = spec_from_file_location(f"{contract.dataset}_to_grow", file)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    typed = {name: one if isinstance(one, tuple) else (pl.String, one)
             for name, one in added.items()}  # fmt: skip
    members: dict[str, Any] = {name: declared for name, (_, declared) in typed.items()}
    members["__annotations__"] = {name: dtype for name, (dtype, _) in typed.items()}
    parent = getattr(module, contract.model.__name__)
    model = type(f"Grown{parent.__name__}", (parent,), members)
    return replace(contract, model=model, version=contract.version + versions)


def _desk() -> Any:
    return field("desk", "the desk that dealt")


def _book() -> Any:
    return field("book", "the book dealt for")


# Additive: a trade may say which desk dealt, then for which book as well.
WITH_DESK = grown(CONTRACT, 1, desk=_desk())
WITH_BOOK = grown(CONTRACT, 2, desk=_desk(), book=_book())
# What was a breaking change is understood: a trade may be without its side.
WITHOUT_SIDE = grown(
    CONTRACT, 3, desk=_desk(), book=_book(), side=field("buySellIndicator", "the initiator's side")
)
# A field whose type changed: it goes to a column of its own, and the old one is sent no more.
WITH_CODES = grown(
    CONTRACT,
    1,
    conditions=field("conditionsText", "sale conditions, as they were until they became a list"),
    condition_codes=(TEXTS, field("conditions", "codes of the sale conditions")),
)
# A post may be without its text.
WITHOUT_TEXT = grown(POSTS, 1, text=field("text", "what it says"))
BY_NAME = {"desk": WITH_DESK, "book": WITH_BOOK, "side": WITHOUT_SIDE}


@contextmanager
def under(contract: Contract) -> Iterator[None]:
    """Everything in this process takes this for the contract of its dataset."""
    before = registry.get(contract.dataset)
    become(contract)
    try:
        yield
    finally:
        become(before)


def become(contract: Contract) -> None:
    """From here on this process has this contract."""
    registry.all_contracts()[contract.dataset] = contract
    wire.decoder.cache_clear()
