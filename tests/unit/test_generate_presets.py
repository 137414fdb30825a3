"""What a person writes becomes sizes, shares, days and a plan."""

from datetime import date

import pytest

from ingestion.generate.presets import FIRST_DAY, PRESETS, make_plan, share, weekdays, whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("250000", 250_000),
        ("1_200_000", 1_200_000),
        ("1.2M", 1_200_000),
        ("10k", 10_000),
        ("5.7m", 5_700_000),
        ("0.5K", 500),
    ],
)
def test_a_number_may_be_written_short(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-5", "1.5", "1.2345k", "ten", "1e6", "k", "1,000"])
def test_what_is_no_whole_number_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of messages; write 1200000"):
        whole_number(text)


def test_a_share_is_a_percentage_or_a_fraction() -> None:
    assert share("5%") == share("0.05") == 0.05
    with pytest.raises(ValueError, match=r"'five' is not a share; write 5% or 0\.05"):
        share("five")


def test_weekdays_leave_out_saturday_and_sunday() -> None:
    # 2025-10-02 is a Thursday.
    assert weekdays(FIRST_DAY, 3) == (date(2025, 10, 2), date(2025, 10, 3), date(2025, 10, 6))
    assert weekdays(date(2025, 10, 4), 1) == (date(2025, 10, 6),)


def test_the_presets_have_the_sizes_of_the_specification() -> None:
    full = make_plan("full")
    assert (full.quotes, full.securities, full.trades) == (1_200_000, 10_000_000, 1_000_000)
    assert len(full.days) == 1
    firehose = make_plan("firehose")
    assert (firehose.orders, firehose.trades) == (5_700_000, 2_000_000)
    assert make_plan("high-volume").trades == 100_000
    assert all(make_plan(name).fault_share == 0 for name in PRESETS)


def test_what_is_asked_for_wins_over_the_preset_and_none_means_not_asked() -> None:
    plan = make_plan("full", quotes=7, trades=None, seed=3, fault_share=0.05)
    assert (plan.quotes, plan.trades, plan.seed, plan.fault_share) == (7, 1_000_000, 3, 0.05)


def test_without_a_preset_there_is_what_is_asked_for_and_what_it_needs() -> None:
    plan = make_plan(None, trades=1_000)
    assert (plan.quotes, plan.trades, plan.securities, plan.orders) == (2_000, 1_000, 10_000, 0)
    plan = make_plan(None, orders=5_000, trades=0)
    assert (plan.quotes, plan.trades, plan.orders) == (0, 0, 5_000)
    plan = make_plan(None, bars=True)
    assert (plan.quotes, plan.trades, plan.bars) == (100_000, 50_000, True)
    assert make_plan(None, seed=4) == make_plan("demo", seed=4)


def test_more_bonds_than_there_are_identifiers_for_are_refused_before_any_is_made() -> None:
    with pytest.raises(ValueError, match="ask for fewer securities"):
        make_plan("small", securities=30_000_000)


def test_an_arbitrage_that_no_data_would_show_is_refused() -> None:
    with pytest.raises(ValueError, match="add --market-data"):
        make_plan(None, scenario="arbitrage", quotes=10_000, trades=5_000)
    assert make_plan("small", scenario="arbitrage").market_data == 10_000


def test_a_scenario_without_the_trades_it_takes_is_refused_before_any_message_is_made() -> None:
    with pytest.raises(ValueError, match="scenario risk"):
        make_plan("small", scenario="risk", trades=10, quotes=100)
