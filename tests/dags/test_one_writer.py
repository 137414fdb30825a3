"""The api-server's queue for modifying requests."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from ticklake.services.airflow_plugins.one_writer import OneWriter


def test_modifying_requests_are_carried_out_one_at_a_time_and_reads_pass() -> None:
    inside: list[str] = []
    most: dict[str, int] = {"GET": 0, "POST": 0}

    async def app(scope: MutableMapping[str, Any], *_: object) -> None:
        method = scope["method"]
        inside.append(method)
        most[method] = max(most[method], inside.count(method))
        await asyncio.sleep(0.02)
        inside.remove(method)

    async def ten_at_once() -> None:
        served = OneWriter(app)
        methods = ["GET", "POST"] * 5
        calls = [served({"type": "http", "method": m}, _nothing, _nothing) for m in methods]
        await asyncio.gather(*calls)

    asyncio.run(ten_at_once())
    assert most == {"GET": 5, "POST": 1}


async def _nothing(*_: object) -> Any:
    """A channel that is never used."""
