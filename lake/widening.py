"""New columns of a bronze table, added by whoever first writes under a newer contract."""

from contextlib import suppress
from pathlib import Path

from deltalake import Schema
from deltalake.exceptions import CommitFailedError

from contracts.base import Contract
from contracts.derive.arrow import partition_columns, table_schema
from lake import delta
from lake.delta_table import Table

TURNS = 100  # lost races; each means that another writer got on


class TableBusy(RuntimeError):
    """Others committed to the table whenever a column was to be added to it."""


def open_wide(root: Path, contract: Contract) -> Table:
    """The table at `root`, made if it is not there, with every column that the contract has.

    Of several first writers of a version one adds its columns, and the others find them there.
    Raises TableBusy, and what delta.open_or_create raises.
    """
    schema = table_schema(contract)
    wanted = Schema.from_arrow(schema).fields
    for _ in range(TURNS):
        table = delta.open_or_create(root, schema, partition_columns(contract))
        known = {field.name for field in table.schema().fields}
        added = [field for field in wanted if field.name not in known]
        if not added:
            return table
        with suppress(CommitFailedError):
            table.alter.add_columns(added)
    raise TableBusy(
        f"{root}: the columns {[field.name for field in added]} of {contract.dataset} version "
        f"{contract.version} could not be added, others committed first {TURNS} times; try again"
    )
