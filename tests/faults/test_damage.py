"""A real lake, damaged in every way we know of: each is found and named, with what to do."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from contracts import registry
from lake import ledger
from lake.bronze import BronzeWriter, Span
from lake.damage import Damaged
from lake.delta_log import LogBroken
from lake.delta_table import checkpoint
from lake.files import data_files
from lake.maintenance import maintain
from lake.verify import Problem
from lake.verify_lake import verify
from tests.faults.landed import UNIT, Landed, edit_entry, entry

Break = Callable[[Landed], Path]


@pytest.fixture
def landed(tmp_path: Path) -> Landed:
    """Four batches; the ledger has them. Versions 1 to 4, eight files."""
    made = Landed(tmp_path / "lake", tmp_path / "dbt")
    made.land_batches(4)
    ledger.append_new(made.layout)
    return made


def good_file(landed: Landed, place: int = 1) -> Path:
    """The file of good rows of the batch at a place, from 0."""
    return [path for path in landed.files() if "verdict=ok" in str(path)][place]


def delete_file(landed: Landed) -> Path:
    path = good_file(landed)
    path.unlink()
    return path


def cut_file(landed: Landed) -> Path:
    path = good_file(landed)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def spoil_footer(landed: Landed) -> Path:
    path = good_file(landed)
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    return path


def change_count(landed: Landed) -> Path:
    """The log says eleven rows, the file has ten."""
    path = good_file(landed)

    def change(action: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        if path.name in action.get("add", {}).get("path", "") and "verdict=ok" in str(action):
            stats = json.loads(action["add"]["stats"])
            action["add"]["stats"] = json.dumps({**stats, "numRecords": 11})
        return action

    edit_entry(entry(landed.table, 2), change)
    return path


def empty_entry(version: int) -> Break:
    def damage(landed: Landed) -> Path:
        path = entry(landed.table, version)
        path.write_bytes(b"")
        return path

    return damage


def cut_entry(version: int) -> Break:
    def damage(landed: Landed) -> Path:
        path = entry(landed.table, version)
        path.write_bytes(path.read_bytes()[:-200])
        return path

    return damage


def lose_entry(landed: Landed) -> Path:
    path = entry(landed.table, 2)
    path.unlink()
    return path


def cut_checkpoint(landed: Landed) -> Path:
    checkpoint(landed.table)
    (path,) = landed.log.glob("*.checkpoint.parquet")
    path.write_bytes(path.read_bytes()[:1000])
    return path


def spoil_pointer(landed: Landed) -> Path:
    checkpoint(landed.table)
    path = landed.log / "_last_checkpoint"
    path.write_bytes(b'{"vers')
    return path


def spoil_record(landed: Landed) -> Path:
    path = landed.layout.published / f"{1:012}.json"
    path.parent.mkdir()
    path.write_bytes(b'{"number": 1')
    return path


LOST = "batch .* landed 11 rows of kafka:test/0, positions 11 to 22 .excluded.; 1 are left"


@pytest.mark.parametrize(
    ("damage", "problem", "detail", "mend"),
    [
        (delete_file, Problem.FILE_MISSING, "the log names it, with 10 rows", "from a backup"),
        (cut_file, Problem.FILE_SIZE, "the log says [0-9]+: it was cut off", "from a backup"),
        (spoil_footer, Problem.FILE_BROKEN, "arquet", "from a backup"),
        (change_count, Problem.FILE_ROWS, "it holds 10 rows, the log says 11", "from a backup"),
        (empty_entry(4), Problem.ENTRY_BROKEN, "is empty", "or delete it: its batch is landed"),
        (cut_entry(4), Problem.ENTRY_BROKEN, "cut off or garbled in line", "or delete it"),
        (empty_entry(2), Problem.ENTRY_BROKEN, "is empty", "from a backup: bronze is made from"),
        (lose_entry, Problem.ENTRY_MISSING, "is missing", "from a backup"),
        (cut_checkpoint, Problem.CHECKPOINT_BROKEN, "arquet", "delete it and .*_last_checkpoint"),
        (spoil_pointer, Problem.LAST_CHECKPOINT_BROKEN, "does not say which", "delete this file"),
        (spoil_record, Problem.RECORD_BROKEN, "no publication record", "from a backup"),
    ],
)
def test_each_damage_is_named_with_its_path_and_a_remedy(
    landed: Landed, damage: Break, problem: Problem, detail: str, mend: str
) -> None:
    path = damage(landed)
    found = verify(landed.settings).damage
    told = [finding for finding in found if finding.problem is not Problem.ROWS_DIFFER]
    assert [(finding.problem, finding.path) for finding in told] == [(problem, path)]
    assert matches(detail, told[0].detail)
    assert matches(mend, told[0].mend)


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


@pytest.mark.parametrize("damage", [delete_file, cut_file, spoil_footer])
def test_of_a_lost_file_the_positions_are_named(landed: Landed, damage: Break) -> None:
    damage(landed)
    (told,) = [f for f in verify(landed.settings).damage if f.problem is Problem.ROWS_DIFFER]
    assert matches(LOST, told.detail)


def test_a_page_that_is_spoilt_is_found_when_every_page_is_read(landed: Landed) -> None:
    path = good_file(landed)
    with pq.ParquetFile(path) as file:
        start = file.metadata.row_group(0).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 24] = b"\xff" * 24
    path.write_bytes(content)
    assert verify(landed.settings).damage == []
    found = verify(landed.settings, deep=True).damage
    assert (found[0].problem, found[0].path) == (Problem.FILE_BROKEN, path)


def test_a_whole_lake_has_nothing_wrong_also_after_maintenance(landed: Landed) -> None:
    for _ in range(2):
        looked = verify(landed.settings, deep=True)
        assert (looked.findings, looked.rows) == ([], 44 + 4)  # and four rows of the ledger
        maintain(landed.settings)


def test_files_of_a_commit_that_never_came_are_told_and_are_no_damage(landed: Landed) -> None:
    orphan = landed.table / "verdict=rejected" / "never.zstd.parquet"
    orphan.write_bytes(b"12345")
    (found,) = verify(landed.settings).findings
    assert (found.problem, found.path, found.is_damage) == (Problem.ORPHANS, orphan, False)
    assert "1 files, 5 bytes" in found.detail


@pytest.mark.parametrize(
    ("first", "problem", "detail"),
    [
        (50, Problem.POSITIONS_MISSING, "positions 44 to 50 (excluded) of kafka:test/0"),
        (40, Problem.POSITIONS_TWICE, "positions 40 to 44 (excluded) of kafka:test/0"),
    ],
)
def test_positions_with_a_gap_or_twice_are_named(
    landed: Landed, first: int, problem: Problem, detail: str
) -> None:
    writer = BronzeWriter(registry.get("trades"), landed.layout)
    frame = data_rows(landed).with_columns(position=first + data_rows(landed)["position"])
    none = frame.clear()
    writer.commit(frame, none, [Span(UNIT, first, first + 10, 10)], "test", fence={"by hand": 1})
    (found,) = verify(landed.settings).damage
    assert (found.problem, found.path) == (problem, landed.table)
    assert found.detail.startswith(detail)


def data_rows(landed: Landed) -> pl.DataFrame:
    """The good rows of the first batch, as a writer takes them."""
    rows = pl.read_parquet(good_file(landed, 0), hive_partitioning=False)
    return rows.drop("batch", "ingest_ts", "contract_version")


# --- what commands say --------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [empty_entry(4), cut_entry(4), empty_entry(2), lose_entry])
def test_landing_on_a_broken_log_stops_and_names_the_entry(landed: Landed, damage: Break) -> None:
    path = damage(landed)
    with pytest.raises((Damaged, LogBroken), match=f"{path}: .*restore it from a backup"):
        landed.land_batches(1)
    assert DeltaTable.is_deltatable(str(landed.table))


def test_a_broken_entry_that_nothing_follows_may_be_deleted_and_is_landed_again(
    landed: Landed,
) -> None:
    before = landed.rows().total()
    empty_entry(4)(landed).unlink()
    assert BronzeWriter(registry.get("trades"), landed.layout).next_position(UNIT) == 33
    landed.land_batches(1)
    assert landed.rows().total() == before


@pytest.mark.parametrize("damage", [cut_checkpoint, spoil_pointer])
def test_what_the_remedy_says_of_a_checkpoint_mends_it(landed: Landed, damage: Break) -> None:
    before = landed.rows()
    damage(landed).unlink()
    (landed.log / "_last_checkpoint").unlink(missing_ok=True)
    assert verify(landed.settings).damage == []
    assert landed.rows() == before
    landed.land_batches(1)


@pytest.mark.parametrize("damage", [delete_file, cut_file])
def test_reading_a_version_with_a_broken_file_names_it(landed: Landed, damage: Break) -> None:
    path = damage(landed)
    with pytest.raises(Damaged, match=f"{path}: data file .*restore it from a backup"):
        data_files(landed.table, 4)


def test_a_ledger_that_is_moved_away_is_made_again(landed: Landed) -> None:
    (landed.layout.ledger / "_delta_log" / f"{1:020}.json").write_bytes(b"")
    found = verify(landed.settings).damage
    assert [finding.problem for finding in found] == [Problem.ENTRY_BROKEN]
    landed.layout.ledger.rename(landed.root / "aside")
    assert ledger.append_new(landed.layout) == 4
    assert verify(landed.settings).damage == []


def test_the_command_names_what_is_broken_and_exits_1(landed: Landed) -> None:
    path = cut_file(landed)
    done = landed.command("verify")
    assert done.returncode == 1
    assert "data file of another size" in done.stdout
    assert f"where  {path}" in done.stdout
    assert "positions 11 to 22 (excluded)" in done.stdout
