"""sqlfluff with Python's collector kept quiet: half of its time went into walking dbt's graph and
its own trees over and over. Called by `make lint-sql`; takes what `sqlfluff` takes.

Worker processes read this file, too, and so keep theirs quiet.
"""

import gc

gc.set_threshold(200_000, 50, 100)

if __name__ == "__main__":
    from sqlfluff.cli.commands import cli

    cli()
