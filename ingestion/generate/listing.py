"""How many securities there are: listed from the first day, changed and new on each later one."""

from ingestion.generate.plan import Plan

MAX_CHANGES_PER_DAY = 400
NEW_SHARE_OF_CHANGES = 0.25


def changes_per_day(plan: Plan) -> int:
    """Master messages on each day after the first: a few hundred, never much of the master."""
    later = len(plan.days) - 1
    if later == 0:
        return 0
    return max(2, min(MAX_CHANGES_PER_DAY, plan.securities // 50, plan.securities // (4 * later)))


def new_per_day(plan: Plan) -> int:
    """How many of a later day's master messages list a new bond."""
    return int(changes_per_day(plan) * NEW_SHARE_OF_CHANGES)


def listed_bonds(plan: Plan) -> int:
    """Bonds numbered 0 .. this - 1 are listed on the first day; later ones follow day by day.

    Raises ValueError where stocks and futures are more than half of what is listed.
    """
    fixed = len(plan.market.stocks) + len(plan.market.futures)
    listed = plan.securities - changes_per_day(plan) * (len(plan.days) - 1)
    if 2 * fixed > listed:
        raise ValueError(
            f"plan: {plan.securities} securities are too few for the market's {fixed} stocks and "
            f"futures; ask for {4 * fixed} or more"
        )
    return listed - fixed


def all_bonds(plan: Plan) -> int:
    """Bonds of the first day and those listed on later ones."""
    return listed_bonds(plan) + new_per_day(plan) * (len(plan.days) - 1)
