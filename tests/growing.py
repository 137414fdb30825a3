"""Contracts of trades that understand more, and this process under one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import polars as pl

import contracts.trades
from contracts import registry
from contracts.base import Contract, field
from contracts.derive import wire
from contracts.trades import CONTRACT


def _grown(versions: int, **added: Any) -> Contract:
    """A later version with more columns, made of a model of its own.

    pandera takes the names out of a model's rules when it first compiles them, so that a child of
    a model in use would have rules without names.
    """
    spec = spec_from_file_location("trades_to_grow", contracts.trades.__file__)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    members = {"__annotations__": dict.fromkeys(added, pl.String), **added}
    model = type("GrownTrades", (module.Trades,), members)
    return replace(CONTRACT, model=model, version=CONTRACT.version + versions)


def _desk() -> Any:
    return field("desk", "the desk that dealt")


def _book() -> Any:
    return field("book", "the book dealt for")


# Additive: a trade may say which desk dealt, then for which book as well.
WITH_DESK = _grown(1, desk=_desk())
WITH_BOOK = _grown(2, desk=_desk(), book=_book())
# What was a breaking change is understood: a trade may be without its side.
WITHOUT_SIDE = _grown(
    3, desk=_desk(), book=_book(), side=field("buySellIndicator", "the initiator's side")
)
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
