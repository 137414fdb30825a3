"""Errors of flows: those that a flow raises itself, and which of all are not tried again."""

from collections.abc import Iterator
from contextlib import contextmanager


class AccountsOpen(RuntimeError):
    """Accounts do not close; the message has a line for each."""


class CandlesDrift(RuntimeError):
    """Runs of candles are beyond their limits; the message has a line for each."""


class ExpectationsBroken(RuntimeError):
    """Expectations do not hold; the message has a line for each."""


@contextmanager
def final_errors() -> Iterator[None]:
    """Turn an error that comes back on every try into one that Airflow does not retry.

    `ticklake.failures.rules` says which those are. The error stays as the cause of what is raised.
    """
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from ticklake.failures.rules import rule_of

    try:
        yield
    except AirflowException:
        raise
    except Exception as raised:
        error = _with_damage(raised)
        if rule_of(error).retry:
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def _with_damage(error: Exception) -> Exception:
    """The error, or the damage to the lake that is behind one that nothing is known of."""
    from lake.damage import Damaged, explained
    from ticklake.failures.rules import UNKNOWN, rule_of

    found = explained(error) if rule_of(error) is UNKNOWN else ""
    if not found:
        return error
    damage = Damaged(found)
    damage.__cause__ = error
    return damage
