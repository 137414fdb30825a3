"""ticklake demo: two generated market days through the whole house, then a look at the result."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import typer

from lake.settings import Settings, load_settings
from ticklake import console

if TYPE_CHECKING:
    from ingestion.generate.plan import Plan
    from ingestion.generate.sinks import Job
    from ticklake.services.airflow_env import LogIn

# Securities land directly, as a reference feed would; the market comes through Kafka.
DIRECT = ("securities",)
FAULTS = 0.05


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo() -> None:
    """Generate two market days with faults, land them, run the day flow in Airflow, show it all.

    Run twice it lands nothing new: the same days make the same messages.
    """
    from ingestion.generate.presets import make_plan
    from ticklake.services import stack
    from ticklake.services.airflow_env import BY_THE_CLOCK

    # The demo's days are the only ones to build: a scheduled run would keep the builder from them.
    os.environ[BY_THE_CLOCK] = "False"
    settings, began = load_settings(), time.monotonic()
    plan = make_plan("demo", fault_share=FAULTS)
    try:
        with console.progress("starting", total=None) as bar:
            access, jobs = _start_and_send(settings, plan, bar)
            _run_flows(settings, plan, bar)
    finally:
        stack.down(settings)
    _show(settings, jobs)
    _show_doors(settings, access, time.monotonic() - began)


def _start_and_send(
    settings: Settings, plan: "Plan", bar: console.Bar
) -> tuple["LogIn", list["Job"]]:
    """Airflow starts while the market is made; both are over when this returns."""
    from ingestion.sources.generator import digest
    from ticklake.services import broker, stack

    # The plan names the cluster: the same plan makes the same log, so positions stay true.
    broker.stop(settings)
    broker.start(settings, cluster=f"demo-{digest(plan)}")
    with ThreadPoolExecutor(1) as aside:
        starting = aside.submit(stack.up, settings)
        jobs = _send(settings, plan, bar)
        _say(bar, "waiting for Airflow")
        return starting.result(), jobs


def _send(settings: Settings, plan: "Plan", bar: console.Bar) -> list["Job"]:
    """Land the master, send the rest through the broker."""
    from ingestion.generate.sinks import Job, to_bronze, to_kafka
    from ingestion.generate.stream import datasets

    direct = Job(settings, plan, DIRECT)
    streamed = Job(settings, plan, tuple(name for name in datasets(plan) if name not in DIRECT))
    _say(bar, "landing securities")
    to_bronze(direct)
    _say(bar, f"sending {', '.join(streamed.datasets)} to Kafka")
    to_kafka(streamed)
    return [direct, streamed]


def _run_flows(settings: Settings, plan: "Plan", bar: console.Bar) -> None:
    """Backfill `day` over the plan's days as a person would, then let `live` take the rest."""
    from ticklake.services import airflow
    from ticklake.services.processes import ServiceError

    with airflow.api(settings) as client:
        _say(bar, f"Airflow: backfill of day, {plan.days[0]} to {plan.days[-1]}")
        before = {run.run_id for run in client.runs("day", "backfill")}
        client.backfill("day", plan.days[0], plan.days[-1], max_active_runs=1)
        wanted = len(plan.days)
        deadline = time.monotonic() + 60
        new: list[str] = []
        while len(new) < wanted and time.monotonic() < deadline:
            runs = client.runs("day", "backfill")
            new = [r.run_id for r in runs if r.run_id not in before] or new
            if before and not new:  # days that ran before are run again under their own ids
                new = [r.run_id for r in runs if r.state not in ("success", "failed")]
            time.sleep(0.5)
        ended = client.wait("day", new)
        _say(bar, "Airflow: live")
        ended += client.wait("live", [client.trigger("live")])
        failed = [run for run in ended if run.state != "success"]
        if failed or len(new) < wanted:
            names = ", ".join(run.run_id for run in failed) or "the backfill did not start"
            raise ServiceError(f"a flow failed: {names}; its logs are in {airflow.home(settings)}")


def _show(settings: Settings, jobs: list["Job"]) -> None:
    from checks.reconcile import reconcile
    from checks.routing import routing
    from ingestion.generate.sinks import TRUTH
    from lake import lakehouse
    from lake.layout import layout
    from ticklake.commands.build import show_accounts
    from ticklake.commands.prove import show_routes

    tallies = [tally for job in jobs for tally in job.tallies.values()]
    console.table(
        "What was sent, and where to",
        ["dataset", "messages", "to"],
        [(tally.dataset, tally.messages, tally.where) for tally in tallies],
    )
    with lakehouse.connect(layout(settings)) as conn:

        def look(title: str, query: str) -> None:
            found = conn.execute(query)
            columns = [column[0] for column in found.description or []]
            console.table(title, columns, found.fetchall())

        look("What landed", _LANDED)
        look("What was quarantined, and why", _QUARANTINED)
        show_routes(routing(settings, [jobs[-1].beside / TRUTH]))
        show_accounts(reconcile(settings))
        look("Gold: one-minute candles of the busiest share (UTC)", _CANDLES)
        look("Gold: one security's history (SCD Type 2)", _HISTORY)


def _show_doors(settings: Settings, access: "LogIn", seconds: float) -> None:
    console.out.print(f"\nDone in {seconds:.0f} s. The three doors:\n")
    console.out.print("  1  trigger and backfill in Airflow    [bold]make up[/]")
    console.out.print(f"     {access.url}  user {access.user}, password: `make up` prints it")
    console.out.print("  2  build what changed                 [bold]cd dbt && dbt build[/]")
    lakehouse = settings.local / "lakehouse.duckdb"
    console.out.print("  3  query gold at any moment", soft_wrap=True)
    console.out.print(f"     [bold]duckdb -readonly {lakehouse}[/]", soft_wrap=True)
    console.out.print("\n2 and 3 after [bold]source .venv/bin/activate[/]")


def _say(bar: console.Bar, step: str) -> None:
    """Show a step on the bar, or as a line where there is no terminal."""
    bar.advance(1, step)
    if not console.is_terminal():
        console.err.print(step)


_LANDED = """
select dataset, sum(consumed)::bigint as consumed, sum(ok_rows)::bigint as ok,
    sum(rejected_rows)::bigint as rejected, count(distinct unit) as units, count(*) as commits
from audit.account_landing group by dataset order by dataset
"""

_QUARANTINED = """
select reject_code, count(*) as rows, any_value(left(reject_message, 72)) as for_example
from quarantine.trades group by reject_code order by rows desc, reject_code
"""

_CANDLES = """
with busiest as (
    select instrument_id from gold.enriched_trades where market_segment = 'EQUITY'
    group by 1 order by count(*) desc, 1 limit 1
)

select instrument_id as share, strftime(window_start, '%Y-%m-%d %H:%M') as minute,
    open, high, low, close, volume, trade_count as trades, round(vwap, 4) as vwap
from gold.candles_1m join busiest using (instrument_id)
where venue = 'ALL' and session_scope = 'all' order by window_start limit 6
"""

_HISTORY = """
with changed as (
    select instrument_id from gold.dim_securities
    group by 1 order by max(version) desc, 1 limit 1
)

select instrument_id, version, issuer, market_segment as segment,
    strftime(valid_from, '%Y-%m-%d %H:%M') as valid_from,
    strftime(valid_to, '%Y-%m-%d %H:%M') as valid_to, is_current
from gold.dim_securities join changed using (instrument_id) order by version
"""
