"""One line of an account, as every check gives it."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Account:
    """One line: left = right, or it is open.

    `detail` says what is behind a difference, or what the sides hold; `look` is a command that
    shows the rows.
    """

    name: str
    scope: str
    left: Decimal
    right: Decimal
    difference: Decimal
    detail: str = ""
    look: str = ""

    @property
    def is_open(self) -> bool:
        """Does the line fail to close?"""
        return self.difference != 0


def line(name: str, scope: str, left: int, right: int, detail: str = "", look: str = "") -> Account:
    """A line of whole numbers."""
    return Account(name, scope, Decimal(left), Decimal(right), Decimal(left - right), detail, look)


def unreadable(name: str, scope: str, detail: str) -> Account:
    """A line that is open because one of its sides cannot be read."""
    return Account(name, scope, Decimal(0), Decimal(0), Decimal(1), detail)
