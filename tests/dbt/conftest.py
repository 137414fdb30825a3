"""Desks for the dbt tests."""

from pathlib import Path

import pytest

from tests.desk import Desk


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One target folder for all runs: the parsed project is reused."""
    return tmp_path_factory.mktemp("dbt")


def models_of(request: pytest.FixtureRequest) -> str:
    """What the builds of a test file make; it says TICKLAKE_MODELS = "all" for more than core."""
    return str(getattr(request.module, "TICKLAKE_MODELS", "core"))


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, dbt_target: Path) -> Desk:
    """A desk with an empty lake."""
    return Desk(tmp_path / "lake", dbt_target, models=models_of(request))


@pytest.fixture(scope="module")
def shared_desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dbt_target: Path
) -> Desk:
    """A desk that the tests of one module share, in their order."""
    lake = tmp_path_factory.mktemp("lake") / "lake"
    return Desk(lake, dbt_target, models=models_of(request))
