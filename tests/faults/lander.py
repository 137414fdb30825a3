"""Landing in processes that may be killed: a fork server, since the imports alone take 2 s.

Run as a module this is the server: it imports, then forks a child for every request on its input
and reports how the child ended. `Lander` is the client that tests use.
"""

import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[2]
FAILED = 70  # exit status of a child whose landing raised


@dataclass(frozen=True)
class Ended:
    """How a landing ended: killed by a signal, an error's text, or what it landed."""

    killed_by: int
    error: str
    landed: int


class Lander:
    """Lands topics in child processes, with a fault if asked for."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lander"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)

    def land(
        self,
        environment: Mapping[str, str],
        dataset: str,
        *,
        fault: str | None = None,
        contract: str = "",
    ) -> Ended:
        """Land one dataset's topic. `environment` holds the lake's settings.

        `fault` is TICKLAKE_FAULT; `contract` is "" or one of the names in CONTRACTS.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        given = {**environment, **({"TICKLAKE_FAULT": fault} if fault else {})}
        request = {"environment": given, "dataset": dataset, "contract": contract}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        assert answer, "the server of children is gone; its error stands above"
        return Ended(**json.loads(answer))


def _next_version(contract: Any) -> Any:
    """The same rules under the next version number."""
    return replace(contract, version=contract.version + 1)


def _one_field_more(contract: Any) -> Any:
    """The next version, which knows one more optional field."""
    import polars as pl

    from contracts.base import field

    name = f"{contract.model.__name__}WithDesk"
    added = {"__annotations__": {"desk": pl.String}, "desk": field("desk", "the desk")}
    model = type(name, (contract.model,), added)
    return replace(contract, version=contract.version + 1, model=model)


CONTRACTS = {"next version": _next_version, "one field more": _one_field_more}


def _land(request: dict[str, Any]) -> int:
    """What the child does; returns the number of records landed."""
    from contracts import registry
    from ingestion.land import land_topics
    from lake.settings import load_settings

    dataset = request["dataset"]
    if request["contract"]:
        known = registry.all_contracts()
        known[dataset] = CONTRACTS[request["contract"]](known[dataset])
    fault = request["environment"].pop("TICKLAKE_FAULT", None)
    if fault:
        os.environ["TICKLAKE_FAULT"] = fault
    landings = land_topics(load_settings(request["environment"]), (dataset,))
    return sum(landing.ok + landing.rejected for landing in landings)


def _child(request: dict[str, Any], report: int) -> None:
    status = FAILED
    os.dup2(2, 1)  # what the child logs must not look like an answer of the server
    try:
        answer = str(_land(request))
        status = 0
    except BaseException:
        answer = traceback.format_exc()
    os.write(report, answer.encode()[-4_000:])
    os._exit(status)


def _import() -> None:
    """Import what every child would import anew.

    A child waits for ever for polars' threads if they ran before it was forked. An import starts
    none of them, unless a module computes something with polars while it is imported.
    """
    import ingestion.land  # noqa: F401
    import lake.ledger  # noqa: F401

    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    if any(re.match(r"polars-\d", name) for name in names):
        raise RuntimeError("an import has started polars' threads: no child could use polars")


def _serve() -> None:
    _import()
    for line in sys.stdin:
        reader, report = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line), report)
        os.close(report)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reader) as told:
            answer = told.read()
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        failed = not killed_by and os.WEXITSTATUS(status) != 0
        landed = int(answer) if not killed_by and not failed else 0
        ended = {"killed_by": killed_by, "error": answer if failed else "", "landed": landed}
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    _serve()
