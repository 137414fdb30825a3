"""Maintenance while builds run and people read; publications made again; broken files, told."""

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from lake import build_end
from lake.maintenance import maintain
from lake.rebuild import CannotRebuild, rebuild
from lake.records import current
from lake.session import Session
from tests.desk import Desk
from tests.faults.landed import Landed

pytestmark = pytest.mark.slow

ROWS = "select count(*), sum(quantity), sum(notional) from silver.trades"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One target folder for all runs: the parsed project is reused."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture
def landed(tmp_path: Path, target: Path) -> Landed:
    """Eight batches."""
    made = Landed(tmp_path / "lake", target)
    made.land_batches(8)
    return made


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(hours=25)


def clean_up(landed: Landed) -> None:
    """Compact and vacuum, until there is nothing left to do."""
    for now in (None, tomorrow(), tomorrow()):
        maintain(landed.settings, now=now)


def meanwhile(monkeypatch: pytest.MonkeyPatch, landed: Landed) -> list[str]:
    """Land more and maintain when a build has pinned its vector, and again before it publishes.

    Gives the notes about tables that were left alone.
    """
    notes: list[str] = []
    begin, publish = Session.begin, build_end.publish

    def disturb() -> None:
        landed.land_batches(2, hour=15)
        for now in (None, tomorrow()):
            notes.extend(done.note for done in maintain(landed.settings, now=now) if done.note)

    def disturbed_begin(session: Session, conn: Any) -> None:
        disturb()
        begin(session, conn)

    def disturbed_publish(*arguments: Any, **more: Any) -> Any:
        disturb()
        return publish(*arguments, **more)

    monkeypatch.setattr(Session, "begin", disturbed_begin)
    monkeypatch.setattr(build_end, "publish", disturbed_publish)
    return notes


def test_what_was_published_is_made_again_after_compaction_vacuum_and_more(
    landed: Landed, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed.build()
    first = landed.fingerprints()
    landed.land_batches(3, hour=13)  # late
    landed.land_batches(3, hour=14)
    with duckdb.connect(str(landed.layout.lakehouse), read_only=True) as reader:
        before = reader.execute(ROWS).fetchall()
        with monkeypatch.context() as patched:
            notes = meanwhile(patched, landed)
            record = landed.build()
        assert reader.execute(ROWS).fetchall() == before
    assert record.number == 2
    assert record.read["trades"]["positions"] == {"kafka:test/0": 14 * 11}
    assert notes
    assert {note.partition(":")[2] for note in notes} == {" a build runs"}
    second = landed.fingerprints()
    assert landed.query("select count(*) from silver.trades") == [(140,)]
    clean_up(landed)
    landed.build()
    assert landed.query("select count(*) from silver.trades") == [(180,)]
    clean_up(landed)
    for number, published in ((1, first), (2, second)):
        made = rebuild(landed.settings, number, tmp_path / f"again-{number}")
        assert made.note == ""
        assert Desk(made.into, target).fingerprints() == published


def test_a_build_after_compaction_rebuilds_nothing(landed: Landed) -> None:
    landed.build()
    before = landed.fingerprints()
    replaced = "select count(*) from audit.dirty where model not like 'bronze.%'"
    count = landed.query(replaced, "warehouse")
    clean_up(landed)
    landed.build()
    assert landed.query(replaced, "warehouse") == count
    assert landed.fingerprints() == before
    landed.land_batches(1)
    clean_up(landed)
    landed.build()
    assert landed.query("select count(*) from silver.trades") == [(90,)]
    landed.build("--full-refresh")
    assert landed.query("select count(*) from silver.trades") == [(90,)]


def test_a_publication_that_is_not_there_is_refused(landed: Landed, tmp_path: Path) -> None:
    with pytest.raises(CannotRebuild, match=r"no publication 7 under .*; nothing is published"):
        rebuild(landed.settings, 7, tmp_path / "again")
    landed.build()
    with pytest.raises(CannotRebuild, match=r"no publication 7 under .*; there are 1 to 1"):
        rebuild(landed.settings, 7, tmp_path / "again")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(CannotRebuild, match="is not empty"):
        rebuild(landed.settings, 1, tmp_path / "taken")


# --- what commands say of broken files ----------------------------------------------------------

Say = Callable[[Landed], "subprocess.CompletedProcess[str]"]


def test_commands_name_a_broken_file_and_do_not_show_a_traceback(landed: Landed) -> None:
    landed.build()
    (uri,) = DeltaTable(str(landed.layout.table("gold", "candles_1d"))).file_uris()
    (account,) = DeltaTable(str(landed.layout.table("audit", "account_landing"))).file_uris()
    kept = {path: path.read_bytes() for path in (Path(uri), Path(account))}
    for path, content in kept.items():
        path.write_bytes(content[:-50])
    told = {
        "sql": landed.command("sql", "select * from gold.candles_1d"),
        "reconcile": landed.command("reconcile"),
    }
    for path, content in kept.items():
        path.write_bytes(content)
    bronze = landed.files()[0]
    bronze.unlink()
    told["build"] = landed.command("build")
    told["status"] = landed.command("status")
    for name, path in (("sql", uri), ("reconcile", account), ("build", bronze)):
        assert told[name].returncode != 0, name
        assert "Traceback" not in told[name].stderr, told[name].stderr
        assert f"{path}: data file " in told[name].stderr.replace("\n", ""), told[name].stderr
        assert "restore it from a backup" in told[name].stderr
    assert told["status"].returncode == 0 or "Traceback" not in told["status"].stderr


def test_tables_that_are_moved_away_are_made_again_from_bronze(
    landed: Landed, tmp_path: Path
) -> None:
    """The remedy for damage to what is derived."""
    landed.build()
    before = landed.fingerprints()
    aside = tmp_path / "aside"
    aside.mkdir()
    for name in ("silver", "gold", "audit", "published", "lakehouse.duckdb"):
        shutil.move(landed.root / name, aside / name)
    landed.build()
    assert landed.fingerprints() == before
    record = current(landed.layout)
    assert record is not None
    assert record.number == 1
