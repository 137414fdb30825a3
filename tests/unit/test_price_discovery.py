"""Shares in price discovery of simulated markets whose true shares follow from their parameters."""

from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ml import quoted_seconds
from ml.price_discovery import MIN_SECONDS, Shares, Unknown, discover, leadership, shares

SECONDS = 23_400
NS = 1_000_000_000


def simulated(
    alpha: list[list[float]],
    covariance: list[list[float]],
    lagged: float = 0.0,
    seconds: int = SECONDS,
) -> NDArray[np.float64]:
    """Log mids of venues that correct by `alpha` towards each other; shocks of some 0.1 bps.
    `lagged` is how much of its last change each venue repeats."""
    rng = np.random.default_rng(3)
    venues = len(alpha)
    shocks = rng.multivariate_normal(np.zeros(venues), covariance, size=seconds) * 1e-5
    prices = np.full((seconds, venues), np.log(100.0))
    for t in range(2, seconds):
        errors = prices[t - 1, :1] - prices[t - 1, 1:]
        prices[t] = prices[t - 1] + np.array(alpha) @ errors + shocks[t]
        prices[t] += lagged * (prices[t - 1] - prices[t - 2])
    return prices


def found(prices: NDArray[np.float64], max_lag: int = 10) -> Shares:
    result = shares(prices, max_lag)
    assert isinstance(result, Shares), result
    return result


def test_two_venues_with_independent_shocks_have_the_shares_of_their_corrections() -> None:
    # CS_1 = 0.3 / (0.3 + 0.1); IS_1 = 0.75^2 / (0.75^2 + 0.25^2), whatever the order.
    result = found(simulated([[-0.1], [0.3]], [[1, 0], [0, 1]]))
    assert result.component == pytest.approx((0.75, 0.25), abs=0.02)
    assert result.information_mid == pytest.approx((0.9, 0.1), abs=0.02)
    assert result.information_high[0] - result.information_low[0] < 0.02
    assert (result.lag, result.seconds) == (0, SECONDS)
    # L_1 = 9 * (0.25 / 0.75) = 3, share 3 / (3 + 1/3)
    assert leadership(result, 0) == pytest.approx(0.9, abs=0.03)


def test_correlated_shocks_leave_the_information_share_between_bounds() -> None:
    # psi = (0.75, 0.25), correlation 0.5: psi Omega psi' = 0.8125. First in the order, venue 1 has
    # (0.75 + 0.5 * 0.25)^2 / 0.8125; last, 1 - (0.25 + 0.5 * 0.75)^2 / 0.8125.
    result = found(simulated([[-0.1], [0.3]], [[1, 0.5], [0.5, 1]]))
    assert result.information_high[0] == pytest.approx(0.942308, abs=0.02)
    assert result.information_low[0] == pytest.approx(0.519231, abs=0.03)
    assert result.information_mid[0] == pytest.approx((0.942308 + 0.519231) / 2, abs=0.03)
    sums = np.add(result.information_low, result.information_high[::-1])
    assert sums == pytest.approx((1, 1))


def test_a_venue_that_never_corrects_leads_alone() -> None:
    result = found(simulated([[0.0], [0.4]], [[1, 0], [0, 1]]))
    assert result.component == pytest.approx((1, 0), abs=0.02)
    assert result.information_mid == pytest.approx((1, 0), abs=0.02)


def test_the_lag_is_that_of_the_process() -> None:
    result = found(simulated([[-0.1], [0.3]], [[1, 0], [0, 1]], lagged=0.2))
    assert result.lag == 1
    assert result.component == pytest.approx((0.75, 0.25), abs=0.02)


def test_three_venues_share_by_the_vector_that_corrections_do_not_move() -> None:
    # alpha' psi = 0 of errors (p1 - p2, p1 - p3): psi = (0.6, 0.3, 0.1) by construction.
    alpha = [[-0.05, -0.02], [0.1, 0.0], [0.0, 0.12]]
    result = found(simulated(alpha, np.eye(3).tolist()))
    assert result.component == pytest.approx((0.6, 0.3, 0.1), abs=0.03)
    squares = np.array([0.6, 0.3, 0.1]) ** 2
    assert result.information_mid == pytest.approx(squares / squares.sum(), abs=0.03)


def test_unknown_seconds_are_not_bridged() -> None:
    prices = simulated([[-0.1], [0.3]], [[1, 0], [0, 1]])
    prices[::50, 0] = np.nan
    result = found(prices)
    assert result.seconds == SECONDS - SECONDS // 50
    assert result.component == pytest.approx((0.75, 0.25), abs=0.03)


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        (simulated([[-0.1], [0.3]], [[1, 0], [0, 1]], seconds=MIN_SECONDS - 1), "joint seconds"),
        (simulated([[-0.1], [0.3]], [[1, 0], [0, 1]])[:, :1], "fewer than 2 venues"),
        (np.zeros((SECONDS, 2)), "no model"),
    ],
)
def test_too_little_data_gives_no_shares_but_the_reason(
    prices: NDArray[np.float64], reason: str
) -> None:
    result = shares(prices, 10)
    assert isinstance(result, Unknown)
    assert reason in result.reason


@pytest.fixture
def conn() -> duckdb.DuckDBPyConnection:
    """Published tables of one instrument: venues A and B of a simulated market, C for a minute."""
    conn = duckdb.connect()
    conn.execute("create schema gold; create schema silver")
    conn.execute(
        "create table silver.sessions as select 'us_equity' as calendar, date '2025-10-02' as "
        f"session_date, {NS} as regular_open_ns, {NS * (1 + SECONDS)} as regular_close_ns"
    )
    prices = np.exp(simulated([[-0.1], [0.3]], [[1, 0], [0, 1]])) * 10_000
    rows = [
        (venue, (second + 1) * NS, (second + 2) * NS, float(price) - 1, float(price) + 1)
        for column, venue in enumerate("AB")
        for second, price in enumerate(prices[:, column])
    ]
    rows.append(("C", NS, 61 * NS, 99.0, 101.0))
    conn.execute(
        "create table gold.venue_best_quotes (venue varchar, valid_from_ns bigint, valid_to_ns "
        "bigint, best_bid double, best_offer double, instrument_id varchar default 'X', "
        "calendar varchar default 'us_equity', session_date date default date '2025-10-02', "
        "session_type varchar default 'regular', is_valid boolean default true)"
    )
    names = ["venue", "valid_from_ns", "valid_to_ns", "best_bid", "best_offer"]
    columns = pa.table({n: list(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)})
    conn.register("columns", columns)
    conn.execute(f"insert into gold.venue_best_quotes ({', '.join(names)}) select * from columns")
    return conn


def test_published_quotes_of_a_session_give_a_row_per_venue(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    rows = list(discover(conn))
    assert [(r.instrument_id, r.session_date, r.venue) for r in rows] == [
        ("X", date(2025, 10, 2), venue) for venue in "ABC"
    ]
    assert rows[0].component_share == pytest.approx(0.75, abs=0.02)
    assert rows[1].information_share == pytest.approx(0.1, abs=0.02)
    assert rows[2].component_share is None
    assert (rows[2].joint_seconds, rows[2].reason) == (66, "fewer than 1800 seconds of its own")


def test_a_mid_is_carried_five_seconds_and_no_longer(conn: duckdb.DuckDBPyConnection) -> None:
    (session,) = quoted_seconds.sessions(conn, "X", date(2025, 10, 2))
    mids = quoted_seconds.log_mids(conn, session)
    assert mids.shape == (SECONDS, 3)
    # C's only state ends at second 60 of the session; 65 is five seconds later.
    assert np.isfinite(mids[:, 2]).nonzero()[0].tolist() == list(range(66))
    assert mids[0, 2] == np.log(100.0)


def test_other_instruments_and_days_are_left_out(conn: duckdb.DuckDBPyConnection) -> None:
    assert quoted_seconds.sessions(conn, "Y") == []
    assert quoted_seconds.sessions(conn, "X", date(2025, 10, 3)) == []
