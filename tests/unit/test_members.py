"""Files as streams: lines and rows wherever the reads fall, in bounded memory."""

import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ingestion.feeds.mapping import FileRefused
from ingestion.sources import members
from ingestion.sources.members import Lines, Member, table_batches


@pytest.mark.parametrize("skip", [0, 1, 9, 10, 26, 27, 39, 40])
def test_a_parquet_file_is_entered_at_any_row(tmp_path: Path, skip: int) -> None:
    pq.write_table(pa.table({"n": list(range(40))}), tmp_path / "a.parquet", row_group_size=9)
    found = []
    for index, frame in table_batches(pq.ParquetFile(tmp_path / "a.parquet"), skip, 7):
        assert frame["n"][0] == index
        found += frame["n"].to_list()
    assert found == list(range(skip, 40))


@pytest.mark.parametrize("seed", range(3))
def test_lines_are_those_of_the_file_wherever_the_reads_fall(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    lines = [bytes(rng.choices(b"ab,\r", k=rng.randrange(0, 9))).rstrip(b"\r") for _ in range(300)]
    ends = [rng.choice([b"\n", b"\r\n"]) for _ in lines]
    content = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    for chunk in (1, 2, 3, 7, 1 << 20):
        monkeypatch.setattr(members, "CHUNK", chunk)
        skip, rows = rng.randrange(0, 310), rng.randrange(1, 50)
        found: list[bytes] = []
        for index, batch in Lines(io.BytesIO(content), "x").batches(skip, rows):
            assert 0 < len(batch) <= rows
            assert index == skip + len(found)
            found += batch
        assert found == lines[skip:]


def test_lines_that_were_looked_at_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "CHUNK", 3)
    lines = Lines(io.BytesIO(b"a\nb\nc\nd"), "x")
    assert lines.peek(2) == [b"a", b"b"]
    assert lines.first() == b"a"
    assert lines.peek(9) == [b"b", b"c", b"d"]
    assert list(lines.batches(1, 10)) == [(1, [b"c", b"d"])]


def test_bytes_in_zstd_are_read_across_its_frames_and_damage_is_named(tmp_path: Path) -> None:
    packed = zstandard.compress(b"a\nb\n") + zstandard.compress(b"c\n")
    (tmp_path / "a.csv.zst").write_bytes(packed)
    (member,) = members.members(tmp_path / "a.csv.zst")
    with member.open() as stream:
        assert list(Lines(stream, "x").batches(0, 10)) == [(0, [b"a", b"b", b"c"])]
    (tmp_path / "b.csv.zst").write_bytes(packed[:4] + b"x" * 20)
    (damaged,) = members.members(tmp_path / "b.csv.zst")
    with pytest.raises(FileRefused, match=r"b\.csv\.zst: cannot be read"):
        members.digest(damaged, b"")


def test_a_zstd_file_cut_short_is_refused(tmp_path: Path) -> None:
    packed = zstandard.compress(bytes(range(256)) * 4000)
    (tmp_path / "a.csv.zst").write_bytes(packed[:-10])
    (member,) = members.members(tmp_path / "a.csv.zst")
    with pytest.raises(FileRefused, match="cannot be read"):
        members.digest(member, b"")


def test_a_batch_ends_early_when_its_lines_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "BATCH_BYTES", 100)
    monkeypatch.setattr(members, "CHUNK", 64)
    batches = list(Lines(io.BytesIO(b"x" * 60 + b"\n" + b"y\n" * 100), "x").batches(0, 1000))
    assert len(batches) > 1
    assert sum(len(batch) for _, batch in batches) == 101


def test_bytes_without_lines_are_refused_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "LONGEST_LINE", 1000)
    monkeypatch.setattr(members, "CHUNK", 100)
    with pytest.raises(FileRefused, match="not a file of lines"):
        list(Lines(io.BytesIO(b"x" * 5000), "blob").batches(0, 10))


def test_a_members_names_are_the_most_specific_first(tmp_path: Path) -> None:
    member = Member(tmp_path / "outer.zip", inside="folder/20131008_aig_Trade_Tick.csv")
    assert member.names == ("20131008_aig_Trade_Tick.csv", "outer.zip")
