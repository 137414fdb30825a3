"""A note as a JSON POST to TICKLAKE_ALERT_WEBHOOK.

The address is a secret, as those of chat programs are: whoever has it may write. It is in no log
and in no error: httpx logs addresses, so its loggers are silent meanwhile.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from lake.failures import Failure
from lake.settings import Settings
from ticklake.failures.note import text

TRIES = 3
PATIENCE_S = 8.0  # Airflow ends a task that is busy for 20 s after its work
_TALKATIVE = ("httpx", "httpcore")

log = logging.getLogger(__name__)


class NotDelivered(RuntimeError):
    """Nobody took the note; the message says why, and not where to."""


def post(settings: Settings, failure: Failure) -> bool:
    """Send a note where the settings name an address; False where they do not.

    The body is the row, times in ISO 8601, with the whole note as `text`, which is what Slack,
    Mattermost and Teams show. Raises NotDelivered after `TRIES` tries or `PATIENCE_S` seconds.
    """
    import httpx
    from tenacity import (
        Retrying,
        retry_if_exception,
        stop_after_attempt,
        stop_after_delay,
        wait_random_exponential,
    )

    address = settings.alert_webhook
    if address is None:
        return False
    body = {name: _plain(value) for name, value in asdict(failure).items()}
    body["text"] = text(failure)
    tries = Retrying(
        stop=stop_after_attempt(TRIES) | stop_after_delay(PATIENCE_S),
        wait=wait_random_exponential(multiplier=0.2, max=1.0),
        retry=retry_if_exception(_is_passing),
        reraise=True,
    )
    try:
        with _silence(), httpx.Client(timeout=settings.alert_timeout_s) as client:
            for attempt in tries:
                with attempt:
                    told = client.post(address.get_secret_value(), json=body)
                    told.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise NotDelivered(f"the webhook answers {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(f"the webhook does not answer ({type(error).__name__})") from None
    return True


def _is_passing(error: BaseException) -> bool:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


@contextmanager
def _silence() -> Iterator[None]:
    found = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in found]
    for logger in found:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(found, before, strict=True):
            logger.setLevel(level)


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value
