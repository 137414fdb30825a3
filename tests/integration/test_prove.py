"""`ticklake acceptance`: the figures of a generated market, and an exit code that says enough."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = ("--days", "2", "--quotes", "150000", "--trades", "120000")
SIGNS = "trade sign autocorrelation, lag 1"
# analytics.md 23.3, statistical acceptance; a bound that does not count itself lies just beside it
LEAST = {
    "dealer spreads within 5-50 bps, share": 1.0,
    SIGNS: 0.2,
    "Fano factor of trades per second": 1.5,
    "autocorrelation of |1-min return|, lag 1": 0.1,
    "kurtosis of 1-min returns": 4.0,
    "volume in the first and last 30 min, share": 0.25,
    "realized over configured volatility": 0.85,
    "correlation within the sector, 5-min returns": 0.3,
    "trades within the best bid and offer, share": 0.95,
}
MOST = {
    SIGNS: 0.4,
    "realized over configured volatility": 1.15,
    "correlation within the sector, 5-min returns": 0.7,
}


def acceptance(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "acceptance", *arguments],
        env={**os.environ, "TICKLAKE_KAFKA_BOOTSTRAP": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def market(folder: Path, text: str) -> Path:
    path = folder / "market.yml"
    path.write_text(text)
    return path


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    told = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    return {figure["name"]: figure for figure in told}


def test_a_market_that_passes_ends_with_0_and_tells_every_figure() -> None:
    done = acceptance(*SMALL, "--json")
    found = figures(done)
    assert done.returncode == 0
    assert {name: figure["low"] for name, figure in found.items()} == pytest.approx(LEAST, rel=1e-9)
    assert {name: found[name]["high"] for name in MOST} == MOST
    for name, figure in found.items():
        assert figure["passed"] is True
        assert LEAST[name] <= figure["value"] <= MOST.get(name, figure["value"])


def test_a_market_in_which_one_figure_fails_ends_with_1(tmp_path: Path) -> None:
    coins = market(tmp_path, "same_sign: 0.5\n")
    done = acceptance(*SMALL, "--market", str(coins), "--json")
    found = figures(done)
    assert done.returncode == 1
    assert [name for name, figure in found.items() if not figure["passed"]] == [SIGNS]
    # independent signs: a deviation of 1 / sqrt(trades of the stocks, half of all), five of them
    assert abs(found[SIGNS]["value"]) < 5 / 120_000**0.5


def test_people_get_a_table_with_the_bounds(tmp_path: Path) -> None:
    coins = market(tmp_path, "same_sign: 0.5\n")
    done = acceptance("--days", "1", "--quotes", "150000", "--trades", "120000",
                      "--market", str(coins))  # fmt: skip
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if SIGNS in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert (cells[0], cells[2:]) == (SIGNS, ["0.2", "0.4", "no"])


def test_a_wrong_market_file_is_named_with_all_that_is_wrong(tmp_path: Path) -> None:
    path = market(tmp_path, "same_sgn: 0.5\nbranching: 1\n")
    done = acceptance("--market", str(path))
    assert done.returncode == 1
    assert f"market file {path}" in done.stderr
    assert "same_sgn: Extra inputs are not permitted (given: 0.5)" in done.stderr
    assert "branching: Input should be less than 1 (given: 1)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_market_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = acceptance("--market", str(tmp_path / "absent.yml"))
    assert done.returncode == 1
    assert f"{tmp_path / 'absent.yml'}" in done.stderr
    assert "No such file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("--quotes", "1", "--trades", "5"), ""), ((), "stocks: []\n")],
    ids=["one quote", "no stocks"],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    small = ("--days", "1", "--quotes", "1000", "--trades", "500")
    done = acceptance(*small, *arguments, "--market", str(market(tmp_path, text)))
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "error: acceptance: at least two stocks and some trades are needed"
    )


def test_figures_of_a_market_too_small_to_correlate_are_json_all_the_same() -> None:
    done = acceptance("--days", "1", "--quotes", "1000", "--trades", "500", "--json")
    assert len(figures(done)) == len(LEAST)
