"""Each rule of each cleaning recipe on rows made by hand: what is removed, what just is not."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from tests.desk import Desk, trade

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

RECIPES = ["bn2009", "highfrequency", "brownlees_gallo", "holden_jacobsen", "sip_conditions",
           "dick_nielsen", "luld"]  # fmt: skip
VARS = f"{{cleaning_recipes: [{', '.join(RECIPES)}]}}"
BUILT = ("--vars", VARS, "--select", "+recipe_steps", "cleaned_trades", "cleaned_quotes")
NAMES = iter(range(1, 10_000))


def deal(instrument: str, at: str, price: Any, quantity: Any = 1, **more: Any) -> dict[str, Any]:
    """A trade of 2025-10-02 (regular session 13:30 to 20:00 UTC) at venue N."""
    number = next(NAMES)
    return trade(number, at, price, quantity, instrument=instrument, sequence=number,
                 **{"venue": "N", "side": None, **more})  # fmt: skip


def quote(instrument: str, at: str, bid: Any, offer: Any, **more: Any) -> dict[str, Any]:
    return {
        "instrumentId": instrument, "dealerId": "D", "venue": "N", "bidPrice": bid,
        "offerPrice": offer, "bidSize": 1, "offerSize": 1, "timestamp": f"2025-10-02T{at}Z",
        "sequence": next(NAMES), **more,
    }  # fmt: skip


def bn_trades() -> list[dict[str, Any]]:
    return [
        deal("BN", "13:29:59.999", 100),  # P1
        deal("BN", "14:00:01", 100, 50, venue="P"),  # P3: N has more
        deal("BN", "14:00:02", 100, 100, tradeId="OLD"),
        deal("BN", "14:00:02.5", 100, 100, tradeId="FIX", refTradeId="OLD", status="CORRECT"),  # T1
        deal("BN", "14:00:03", 100, conditions="@ Z"),  # T2
        deal("BN", "14:00:04", 100, conditions="F"),
        deal("BN", "14:00:05", 100, conditions="@ I"),  # T2 of bn2009 alone: R allows odd lots
        deal("BN", "14:00:06", 100, 1), deal("BN", "14:00:06", 104, 3),
        deal("BN", "14:00:06", 101, 2),
        deal("BN", "14:00:07", 100, 1), deal("BN", "14:00:07", "100.5", 1),
        deal("BN", "14:00:08", "101.01"), deal("BN", "14:00:09", 101),  # T4: offer 100 + spread 1
        deal("BN", "14:00:10", 98), deal("BN", "14:00:11", "97.99"),
        deal("BN", "14:00:20", 150),  # a quote of this very moment: R looks at it, bn2009 not yet
    ]  # fmt: skip


def bn_quotes() -> list[dict[str, Any]]:
    return [quote("BN", "14:00:00", 99, 100), quote("BN", "14:00:20", "149.5", "150.5")]


def steady_quotes() -> list[dict[str, Any]]:
    """An hour of quotes 0.02 wide with mids of 100.00 and 100.02, and what is wrong among them."""
    rows = []
    for second in range(60):
        mid = Decimal("100.00") + Decimal("0.02") * (second % 2)
        rows.append(
            quote(
                "BQ", f"14:00:{second:02}", str(mid - Decimal("0.01")), str(mid + Decimal("0.01"))
            )
        )
    wrong = [
        quote("BQ", "13:00:00", "99.99", "100.01"),  # P1
        quote("BQ", "14:00:10.1", None, "100.01"),  # P2
        quote("BQ", "14:00:11.1", "99.99", "100.01", venue="P", bidSize=2),  # P3
        quote("BQ", "14:00:20.1", "99.99", "100.01"), quote("BQ", "14:00:20.1", "100.01", "100.02"),
        quote("BQ", "14:00:21.1", "100.02", "100.00"),  # Q2
        quote("BQ", "14:00:22.1", "100.01", "100.01"),  # Q2 of R alone: locked
        quote("BQ", "14:00:23.1", "99.51", "100.51"),  # Q3 of R alone: 50 times the median
        quote("BQ", "14:00:24.1", "99.50", "100.51"),  # Q3
        quote("BQ", "14:00:30.1", "104.99", "105.01"),  # Q4
    ]  # fmt: skip
    return rows + wrong


def lifecycle() -> list[dict[str, Any]]:
    late = {"timestamp": "2025-10-03T14:00:00Z"}
    return [
        deal("BOND_DN", "14:00:01", 90, tradeId="A"),
        deal("BOND_DN", "14:10:00", 90, tradeId="A2", refTradeId="A", status="CANCEL"),
        deal("BOND_DN", "14:00:02", 90, tradeId="B"),
        deal("BOND_DN", "14:10:00", 91, tradeId="B2", refTradeId="B", status="CORRECT"),
        deal("BOND_DN", "14:00:03", 90, tradeId="C"),
        deal("BOND_DN", "14:00:00", 90, tradeId="C2", refTradeId="C", status="CANCEL") | late,
        deal("BOND_DN", "14:00:04", 90, tradeId="D2", refTradeId="D", status="CORRECT"),
        deal("BOND_DN", "14:00:05", 92, 7, tradeId="E1", side="B", trader="X"),
        deal("BOND_DN", "14:00:05", 92, 7, tradeId="E2", side="S", trader="Y"),
        deal("BOND_DN", "14:00:06", 92, 7, tradeId="F1", side="B", trader="X"),
        deal("BOND_DN", "14:00:06", 92, 7, tradeId="F2", side="S", trader="X"),
    ]  # fmt: skip


def clocks() -> list[dict[str, Any]]:
    return [
        *[quote("HS", "14:00:01", 99, 100) for _ in range(3)],  # a clock of seconds
        *[quote("HM", "14:00:01", 99, 100) for _ in range(2)],
        quote("HM", "14:00:01.5", 99, None), quote("HM", "14:00:02.5", 99, 98),
        quote("HM", "14:00:03.5", 99, 99),
    ]  # fmt: skip


def near_prices() -> list[dict[str, Any]]:
    """Prices of 99.99 and 100.01: s is just above 0.01, the limit 3 s + 0.02 above 0.05."""
    odd = {40: "100.05", 41: "100.10"}
    return [deal("BG", f"14:{n // 60:02}:{n % 60:02}", odd.get(n, ("99.99", "100.01")[n % 2]))
            for n in range(90)]  # fmt: skip


def bands() -> list[dict[str, Any]]:
    rows = [deal("LU", f"15:00:{n:02}", 20) for n in range(10)]
    rows += [deal("LU", "15:01:00", "22.01"), deal("LU", "15:01:01", "21.5"),
             deal("LU", "15:01:02", 21), deal("LU", "15:01:03", 20)]  # fmt: skip
    return [*rows, deal("LO", "13:30:01", 20), deal("LO", "13:30:02", "21.9")]


def prints() -> list[dict[str, Any]]:
    return [deal("SI", f"14:00:0{n}", 10, conditions=text)
            for n, text in enumerate(["M", "W", "@", "@,I", "T"])]  # fmt: skip


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    shared_desk.land("trades", [*bn_trades(), *lifecycle(), *near_prices(), *bands(), *prints()])
    shared_desk.land("quotes", [*bn_quotes(), *steady_quotes(), *clocks()])
    shared_desk.build(*BUILT)
    return shared_desk


def removed(desk: Desk, recipe: str, dataset: str, instrument: str) -> dict[str, list[str]]:
    """Step -> the moments (UTC, with fraction) of what it removed."""
    rows = desk.query(
        "select removed_by, strftime(make_timestamp(event_ts_ns // 1000), '%H:%M:%S.%g') "
        f"from gold.recipe_{dataset} where recipe = '{recipe}' and instrument_id = '{instrument}' "
        "and removed_by is not null order by event_ts_ns, tie_order"
    )
    found: dict[str, list[str]] = {}
    for step, moment in rows:
        found.setdefault(step, []).append(moment)
    return found


def at(*seconds: str, minute: str = "14:00") -> list[str]:
    return [f"{minute}:{s}" if "." in s else f"{minute}:{s}.000" for s in seconds]


def cleaned(desk: Desk, columns: str, table: str, where: str) -> Iterable[Any]:
    return desk.query(f"select {columns} from gold.cleaned_{table} where {where} order by all")


def test_bn2009_on_trades(desk: Desk) -> None:
    assert removed(desk, "bn2009", "trades", "BN") == {
        "P1": ["13:29:59.999"], "P3": at("01"), "T1": at("02.500"), "T2": at("03", "05"),
        "T3": at("06", "06", "07"), "T4": at("08", "11", "20"),
    }  # fmt: skip
    merged = cleaned(desk, "price, quantity, merged_rows", "trades",
                     "recipe = 'bn2009' and instrument_id = 'BN' and merged_rows > 1")  # fmt: skip
    assert merged == [(Decimal("100.25"), 2, 2), (101, 6, 3)]


def test_bn2009_on_quotes(desk: Desk) -> None:
    assert removed(desk, "bn2009", "quotes", "BQ") == {
        "P1": ["13:00:00.000"], "P2": at("10.100"), "P3": at("11.100"), "Q1": at("20.100"),
        "Q2": at("21.100"), "Q3": at("24.100"), "Q4": at("30.100"),
    }  # fmt: skip
    merged = cleaned(desk, "bid, offer", "quotes",
                     "recipe = 'bn2009' and instrument_id = 'BQ' and merged_rows > 1")  # fmt: skip
    assert merged == [(Decimal("100.00"), Decimal("100.015"))]


def test_highfrequency_differs_where_the_r_package_does(desk: Desk) -> None:
    assert removed(desk, "highfrequency", "trades", "BN") == {
        "P1": ["13:29:59.999"], "P3": at("01"), "T1": at("02.500"), "T2": at("03"),
        "T3": at("06", "06", "07"), "T4": at("08", "11"),
    }  # fmt: skip
    assert removed(desk, "highfrequency", "quotes", "BQ") == {
        "P1": ["13:00:00.000"], "P2": at("10.100"), "P3": at("11.100"), "Q1": at("20.100"),
        "Q2": at("21.100", "22.100"), "Q3": at("23.100", "24.100"), "Q4": at("30.100"),
    }  # fmt: skip


def test_brownlees_gallo(desk: Desk) -> None:
    assert removed(desk, "brownlees_gallo", "trades", "BG") == {"BG": at("41")}


def test_holden_jacobsen_spreads_a_clock_of_seconds_and_merges_a_finer_one(desk: Desk) -> None:
    assert removed(desk, "holden_jacobsen", "quotes", "HS") == {}
    times = cleaned(desk, "clean_ts_ns - event_ts_ns", "quotes",
                    "recipe = 'holden_jacobsen' and instrument_id = 'HS'")  # fmt: skip
    assert times == [(166_666_666,), (500_000_000,), (833_333_333,)]
    assert removed(desk, "holden_jacobsen", "quotes", "HM") == {
        "H1": at("01.500"), "H2": at("01"), "H4": at("02.500")
    }  # fmt: skip


def test_sip_conditions(desk: Desk) -> None:
    assert removed(desk, "sip_conditions", "trades", "SI") == {
        "S1": at("00"), "S2": at("01", "03", "04")  # form T sets no price in the regular session
    }  # fmt: skip


def test_dick_nielsen(desk: Desk) -> None:
    gone = desk.query(
        "select h.trade_id, r.removed_by from gold.recipe_trades r join silver.trades_history h "
        "using (trade_key) where recipe = 'dick_nielsen' and r.instrument_id = 'BOND_DN' "
        "and removed_by is not null order by 1"
    )
    assert gone == [("A", "D1"), ("A2", "D1"), ("B", "D2"), ("C", "D3"), ("C2", "D3"),
                    ("D2", "D2"), ("E1", "D4")]  # fmt: skip


def test_luld_bands_are_twice_as_wide_in_the_first_quarter_of_an_hour(desk: Desk) -> None:
    assert removed(desk, "luld", "trades", "LU") == {
        "L1": at("00", minute="15:01"), "L2": at("01", minute="15:01")
    }  # fmt: skip
    assert removed(desk, "luld", "trades", "LO") == {}


def test_a_late_trade_cleans_its_session_again_and_the_result_is_that_of_a_full_refresh(
    desk: Desk,
) -> None:
    before = desk.fingerprints()
    desk.land("trades", [deal("BN", "14:00:30", 100, 1000, venue="P"),
                         deal("BOND_DN", "14:20:00", 90, tradeId="B3", refTradeId="B2",
                              status="CANCEL")])  # fmt: skip
    desk.build(*BUILT)
    assert len(removed(desk, "bn2009", "trades", "BN")["P3"]) > 10  # P is the larger venue now
    built = desk.fingerprints()
    assert built["gold.recipe_steps"] != before["gold.recipe_steps"]
    desk.build("--full-refresh", *BUILT)
    assert desk.fingerprints() == built
