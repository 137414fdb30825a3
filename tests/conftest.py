"""Fixtures that every kind of test shares: a temporary lake and a broker of one's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake.settings import Settings, load_settings
from tests.embedded_broker import Broker

# Most tests are not about what analysts look at: their builds leave it out. Those that are ask for
# `Desk(models="all")`.
os.environ.setdefault("TICKLAKE_MODELS", "core")


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """Settings of an empty lake in a temporary folder, whatever the environment says."""
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A fresh embedded Kafka broker without topics."""
    with Broker() as started:
        yield started


@pytest.fixture
def kafka_lake(tmp_path: Path, broker: Broker) -> Callable[..., Settings]:
    """Makes settings of a temporary lake that lands from `broker`.

    Keyword arguments are environment variables, e.g. TICKLAKE_BATCH_ROWS=10.
    """

    def make(**environment: object) -> Settings:
        given = {name: str(value) for name, value in environment.items()}
        return load_settings(
            {
                "LAKE_URI": str(tmp_path / "lake"),
                "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
                **given,
            }
        )

    return make
