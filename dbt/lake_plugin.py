"""The dbt-duckdb plugin: bronze as views on the way in, publication on the way out.

`dbt build` in a bare shell is enough: the plugin finds the lake by the same environment as every
other command, points dbt at the warehouse there, and publishes when the run allows it.
"""

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from duckdb import DuckDBPyConnection

from lake import scoring
from lake.average_cost import register as register_average_cost
from lake.build_end import end
from lake.session import Session
from lake.settings import load_settings


class Plugin(BasePlugin):
    """One instance serves one dbt invocation."""

    session: Session
    conn: DuckDBPyConnection | None = None

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002 (dbt's name)
        """Read the settings; a wrong one stops dbt before it touches data."""
        self.session = Session(load_settings())

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Put dbt's database where the lake is, with the memory it may use."""
        warehouse = self.session.layout.warehouse
        warehouse.parent.mkdir(parents=True, exist_ok=True)
        creds.path = str(warehouse)
        config["memory_limit"] = self.session.settings.build_memory
        config["threads"] = self.session.settings.build_threads

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """State tables, the views over pinned bronze, and what SQL cannot compute."""
        self.conn = conn
        conn.execute("set TimeZone = 'UTC'")
        scoring.register(conn)
        register_average_cost(conn)
        self.session.open(conn)

    def store(self, target_config: TargetConfig) -> None:
        """Called by the on-run-start and on-run-end hooks (macros/build/hooks.sql)."""
        assert self.conn is not None
        conn = self.conn.cursor()
        conn.execute("set TimeZone = 'UTC'")
        request = target_config.config
        if request["step"] == "begin":
            self.session.begin(conn)
        else:
            end(self.session, conn, request)
