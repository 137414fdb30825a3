"""Flows that fail, each in its own way: a DAG folder for Airflows that tests start."""

import os
import signal
import time
from datetime import timedelta
from typing import Any

import psutil
from airflow.sdk import dag, task

from ticklake.flow_defaults import flow_defaults

AN_HOUR = timedelta(hours=1)


def _flow(name: str, **more: Any) -> dict[str, Any]:
    given = {"run_timeout": AN_HOUR, "retry_delay": timedelta(seconds=1), **more}
    return {"schedule": None, **flow_defaults(name, **given)}


@dag(**_flow("broken"))
def broken() -> None:
    """Builds, in a lake where that cannot end well."""

    @task
    def build() -> dict[str, Any]:
        from ticklake import flows

        return flows.build()

    @task
    def reconcile() -> None:
        """Never reached."""

    build() >> reconcile()


@dag(**_flow("away"))
def away() -> None:
    """Fails on every try, with an error that trying again might mend."""

    @task(retries=1)
    def land() -> None:
        from lake.kafka_client import BrokerUnreachable

        raise BrokerUnreachable("no Kafka broker answers at nowhere:9092")

    land()


@dag(**_flow("killed"))
def killed() -> None:
    """Is killed at once: the process of the task alone, its supervisor sees it end."""

    @task(retries=0)
    def build() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    build()


@dag(**_flow("lost"))
def lost() -> None:
    """Is killed together with its supervisor: nobody is left to say how it ended."""

    @task(retries=0)
    def build() -> None:
        supervisor = psutil.Process().parent()
        assert supervisor is not None
        supervisor.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    build()


@dag(**_flow("endless", run_timeout=timedelta(seconds=8)))
def endless() -> None:
    """Takes longer than its run may."""

    @task(retries=0)
    def build() -> None:
        time.sleep(120)

    build()


@dag(**_flow("slow", late_after=timedelta(seconds=5)))
def slow() -> None:
    """Is late, and ends well."""

    @task(retries=0)
    def build() -> None:
        time.sleep(25)

    build()


@dag(**_flow("passing", late_after=timedelta(minutes=10)))
def passing() -> None:
    """Fails where the file PASSING is not there, and is not late."""

    @task(retries=0)
    def build() -> None:
        from pathlib import Path

        if not Path(os.environ["LAKE_URI"], "PASSING").exists():
            raise RuntimeError("not this time")

    build()


broken()
away()
killed()
lost()
endless()
slow()
passing()
