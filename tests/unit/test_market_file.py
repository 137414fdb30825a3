"""A market file replaces settings of the market, and is judged whole before anything is made."""

from pathlib import Path

import pytest

from ingestion.generate.market import Market, MarketError, load_market


def written(folder: Path, text: str) -> Path:
    path = folder / "market.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_does_not_name_keeps_its_default(tmp_path: Path) -> None:
    market = load_market(written(tmp_path, "jumps_per_day: 2\nvenues: [XNYS, XNAS]\n"))
    assert (market.jumps_per_day, market.venues) == (2, ("XNYS", "XNAS"))
    assert market.stocks == Market().stocks
    assert load_market(written(tmp_path, "")) == Market()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("volatilty: 1", "volatilty: Extra inputs are not permitted"),
        ("branching: 1", "branching: Input should be less than 1 (given: 1)"),
        ("stocks: [{symbol: A}]", "stocks.0.name: Field required"),
        (
            "futures: [{symbol: X, name: X, price: 1, tick: 0.00005, volatility: 1, "
            "multiplier: 1}]",
            "futures.0.tick: Input should be a multiple of 0.0001 (given: 5e-05)",
        ),
        ("[1, 2", "market.yml: "),
        ("7", "Input should be a valid dictionary"),
    ],
    ids=["unknown name", "out of bounds", "missing", "too fine a tick", "no YAML", "no mapping"],
)
def test_a_wrong_file_is_refused_with_the_name_and_the_value(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(MarketError) as refused:
        load_market(written(tmp_path, text))
    assert named in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=r"market file .*nowhere\.yml"):
        load_market(tmp_path / "nowhere.yml")
