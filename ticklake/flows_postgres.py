"""What the `publish_postgres` flow does, as a function whose result fits an XCom; see
`ticklake.flows`."""

import logging
from typing import Any

log = logging.getLogger(__name__)


def publish_postgres(*, full_refresh: bool = False) -> dict[str, Any]:
    """Make PostgreSQL hold the current publication.

    Returns its number, the rows copied, and the tables that were touched. Raises
    AirflowFailException where trying again cannot help: a wrong setting, or another lake's rows.
    """
    from airflow.sdk.exceptions import AirflowFailException

    from lake.settings import SettingsError, load_settings
    from serving.postgres import CopyRefused, publish_postgres

    try:
        done = publish_postgres(load_settings(), full_refresh=full_refresh)
    except (SettingsError, CopyRefused) as error:
        raise AirflowFailException(str(error)) from error
    if not done.copied:
        log.info("%s holds publication %d already", done.where, done.publication)
    for table in done.tables:
        log.info("%s %s: %d rows, %d parts", table.how, table.table, table.rows, table.parts)
    return {
        "publication": done.publication,
        "copied": done.copied,
        "rows": done.rows,
        "tables": [table.table for table in done.tables],
    }
