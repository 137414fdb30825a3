"""Notes posted to a webhook, on a real server: what is sent, tried again, and hidden."""

import logging
import socket
import time
from datetime import UTC, datetime

import pytest

from lake.failures import Failure
from lake.settings import Settings, load_settings
from tests.alert_server import PATH, alert_server
from ticklake.failures.note import text
from ticklake.failures.webhook import NotDelivered, post

AT = datetime(2025, 10, 3, 0, 5, tzinfo=UTC)
NOTE = Failure("id", AT, "failed", "live", "land", "r1", 1, 4, interval_start=AT, error="é")


def _settings(address: str, timeout_s: float = 2.0) -> Settings:
    given = {"TICKLAKE_ALERT_WEBHOOK": address, "TICKLAKE_ALERT_TIMEOUT": str(timeout_s)}
    return load_settings(given)


def test_without_an_address_nothing_is_sent() -> None:
    assert not post(load_settings({}), NOTE)


def test_the_whole_row_is_sent_as_json_with_the_note_as_text() -> None:
    with alert_server() as server:
        assert post(_settings(server.address), NOTE)
    (body,) = server.bodies
    assert body.pop("text") == text(NOTE)
    assert body["flow"] == "live" and body["error"] == "é"
    assert body["noted_at"] == body["interval_start"] == "2025-10-03T00:05:00+00:00"
    assert body["interval_end"] is None


@pytest.mark.parametrize("answer", [429, 500, 503])
def test_a_webhook_that_is_busy_is_asked_again(answer: int) -> None:
    with alert_server([answer, answer]) as server:
        assert post(_settings(server.address), NOTE)
    assert len(server.bodies) == 3


@pytest.mark.parametrize("answer", [302, 400, 404])
def test_a_webhook_that_refuses_is_not_asked_again(answer: int) -> None:
    with (
        alert_server([answer]) as server,
        pytest.raises(NotDelivered, match=f"the webhook answers {answer}"),
    ):
        post(_settings(server.address), NOTE)
    assert len(server.bodies) == 1


def test_after_three_tries_it_is_given_up() -> None:
    with alert_server([500] * 9) as server, pytest.raises(NotDelivered, match="answers 500"):
        post(_settings(server.address), NOTE)
    assert len(server.bodies) == 3


def test_a_webhook_that_hangs_costs_seconds() -> None:
    began = time.monotonic()
    with alert_server(slow_s=1.0) as server, pytest.raises(NotDelivered, match="ReadTimeout"):
        post(_settings(server.address, timeout_s=0.2), NOTE)
    assert time.monotonic() - began < 8


def test_the_address_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with alert_server() as server:
        post(_settings(server.address), NOTE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}{PATH}"
    with pytest.raises(NotDelivered, match="ConnectError") as told:
        post(_settings(dead), NOTE)
    assert "s3cret" not in caplog.text + str(told.value) + repr(told.value.__cause__)
