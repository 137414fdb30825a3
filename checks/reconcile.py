"""Do the accounts close? Every line, from the broker to what readers get.

Reads what is published, its control totals, the ledger, the outcome of the last build, and asks the
broker, and the PostgreSQL that is published to. Looking changes nothing but the ledger, which is
brought up to what has landed.
"""

from checks import broker, built, landed, postgres
from checks.account import Account
from checks.published import Progress, published
from lake import lakehouse
from lake.lakehouse import NothingPublished
from lake.layout import layout
from lake.records import current
from lake.settings import Settings

__all__ = ["Account", "reconcile"]


def reconcile(
    settings: Settings, *, quick: bool = False, progress: Progress | None = None
) -> list[Account]:
    """Every account, closed or open, in the order in which data goes.

    With `quick` published files are counted and not read. Raises NothingPublished before the first
    publication, unless something is open already: then those lines are all there is.
    """
    place = layout(settings)
    before = [*broker.broker(settings), *landed.bronze(place)]
    stopped = built.last_build(settings)
    record = current(place)
    if record is None:
        found = [account for account in [*before, *stopped] if account.is_open]
        if found:
            return found
        lakehouse.connect(place)  # says what to do
        raise NothingPublished(f"nothing is published under {place.root}")
    with lakehouse.connect(place) as conn:
        accounts = built.published(conn)
    after = published(place, record, quick=quick, progress=progress)
    elsewhere = postgres.postgres(settings, place, record, quick=quick)
    return [*before, *accounts, *after, *elsewhere, *stopped]
