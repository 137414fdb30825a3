"""The best bid and offer across dealers at given moments (analytics.md 9), for pricing trades."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ingestion.generate.clock import SECOND_US, Bools, Ints
from ingestion.generate.quotes import BID, OFFER

LIFETIME_US = 900 * SECOND_US  # dealers' inventory runs, D16
_MOMENT_BITS = 41


@dataclass(frozen=True)
class Best:
    """Best prices in units of 0.0001, elementwise; `bid` 0 or `offer` huge where nothing lives."""

    bid: Ints
    offer: Ints

    @property
    def two_sided(self) -> Bools:
        """Where both sides live and the bid is below the offer."""
        sound: Bools = (self.bid > 0) & (self.bid < self.offer) & (self.offer < NO_OFFER)
        return sound


NO_OFFER = np.iinfo(np.int64).max


def best_before(quotes: pl.DataFrame, active: Ints, event_us: Ints) -> Best:
    """The best prices strictly before each (active, event_us), from a day of `quote_day`."""
    order = np.lexsort((quotes["event_us"].to_numpy(), quotes["active"].to_numpy()))
    quotes = quotes[order]
    at, of = quotes["event_us"].to_numpy(), quotes["active"].to_numpy()
    start = int(at.min(initial=NO_OFFER))
    keys = (of << _MOMENT_BITS) + (at - min(start, int(event_us.min(initial=start))))
    wanted = (active << _MOMENT_BITS) + (event_us - min(start, int(event_us.min(initial=start))))
    base = np.searchsorted(keys, wanted, side="left") - 1
    book = _Book(at, of, active, event_us, base)
    dealer, alone = quotes["dealer"].to_numpy(), quotes["one_sided"].to_numpy()
    gone = quotes["withdrawn"].to_numpy()
    bid, offer = quotes["bid"].to_numpy(), quotes["offer"].to_numpy()
    best_bid = np.zeros(len(active), dtype=np.int64)
    best_offer = np.full(len(active), NO_OFFER)
    for number in np.unique(dealer):
        mine = dealer == number
        row, live = book.latest(mine & (alone != OFFER), gone == BID)
        best_bid = np.maximum(best_bid, np.where(live, bid[row], 0))
        row, live = book.latest(mine & (alone != BID), gone == OFFER)
        best_offer = np.minimum(best_offer, np.where(live, offer[row], NO_OFFER))
    return Best(best_bid, best_offer)


@dataclass(frozen=True)
class _Book:
    """Quotes sorted by instrument and time, and the last of them before each wanted moment."""

    at: Ints
    of: Ints
    active: Ints
    event_us: Ints
    base: Ints

    def latest(self, touches: Bools, withdraws: Bools) -> tuple[Ints, Bools]:
        """For each moment the last quote among `touches`, and whether it is live then."""
        rows = np.maximum.accumulate(np.where(touches, np.arange(len(self.at)), -1))
        row = np.where(self.base >= 0, rows[self.base], -1)
        found = np.maximum(row, 0)
        live = (row >= 0) & (self.of[found] == self.active) & ~withdraws[found]
        return found, live & (self.event_us < self.at[found] + LIFETIME_US)
