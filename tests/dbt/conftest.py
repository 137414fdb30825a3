"""Desks for the dbt tests."""

from pathlib import Path

import pytest

from tests.desk import Desk


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One target folder for all runs: the parsed project is reused."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture
def desk(tmp_path: Path, dbt_target: Path) -> Desk:
    """A desk with an empty lake."""
    return Desk(tmp_path / "lake", dbt_target)


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> Desk:
    """A desk that the tests of one module share, in their order."""
    return Desk(tmp_path_factory.mktemp("lake") / "lake", dbt_target)
