"""What both peers get from us: a consumer with the settings that make ours fast."""

FAST: dict[str, str | int | float | bool] = {
    "enable.auto.commit": False,
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 50,
    "session.timeout.ms": 6000,
}
POLL_RECORDS, POLL_SECONDS = 500, 0.05
WARM_RECORDS = 1_000  # landed before the clock starts, as with ours
EARLIEST = "1990-01-01T00:00:00Z"
CLOCK_SKEW_SECONDS = 5.0
