"""`ticklake listen` in processes that may be killed, and clients that speak to it.

The imports take seconds, so a fork server does them once and forks a child for each listener;
run as a module this file is that server. What the child runs is the command itself.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests import bronze_rows
from tests.oracle import Delivered, judge

REPOSITORY = Path(__file__).resolve().parents[1]
TOKENS = {name: f"{name}-{'0123456789abcdef' * 2}" for name in ("desk", "feed", "other")}
ANSWER_SECONDS = 30.0


class Listeners:
    """Starts listeners, 0.1 s each."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.listening"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children: set[int] = set()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pid in list(self._children):
            os.kill(pid, signal.SIGKILL)
            self.status(pid)
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)

    @contextmanager
    def listener(self, lake: Path, largest_file: int = 0, **settings: object) -> Iterator["Live"]:
        """A listener over the lake; killed at the end if it still lives.

        Keyword arguments are environment variables, TICKLAKE_FAULT too. `largest_file` is how
        many bytes a file of its may have, as on a disk that is full from there on.
        """
        lake.mkdir(parents=True, exist_ok=True)
        log = lake.parent / f"{lake.name}.listen.log"
        log.write_text("")
        given = {**_environment(lake), **{name: str(value) for name, value in settings.items()}}
        pid = self._asked({"start": given, "log": str(log), "largest_file": largest_file})
        self._children.add(pid)
        live = Live(self, pid, log)
        try:
            live.wait_until_ready()
            yield live
        finally:
            if pid in self._children:
                os.kill(pid, signal.SIGKILL)
                self.status(pid)

    def refused(self, lake: Path, **settings: object) -> tuple[int, str]:
        """Exit code and what was said by a listener that does not start."""
        log = lake.parent / f"{lake.name}.refused.log"
        log.write_text("")
        given = {**_environment(lake), **{name: str(value) for name, value in settings.items()}}
        pid = self._asked({"start": given, "log": str(log), "largest_file": 0})
        return self.status(pid), log.read_text()

    def status(self, pid: int) -> int:
        """Wait for a listener's end: exit code, or minus the signal that killed it."""
        status = self._asked({"wait": pid})
        self._children.discard(pid)
        return status

    def _asked(self, request: dict[str, Any]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())


@dataclass
class Live:
    """A running listener."""

    owner: Listeners
    pid: int
    log: Path
    url: str = ""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.url:
            assert time.monotonic() < deadline, self.log.read_text()
            self.url = next((e["url"] for e in self.said() if e["event"] == "listening"), "")
            time.sleep(0.01)

    def said(self) -> list[dict[str, Any]]:
        """Its log, as far as lines are whole."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        """Wait for its end: exit code, or minus the signal that killed it."""
        return self.owner.status(self.pid)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of what it tells anybody who asks."""
        address = self.url.replace("ws:", "http:").replace("/ws/market-data", "/health")
        answer = httpx.get(address, timeout=ANSWER_SECONDS, trust_env=False)
        return answer.status_code, answer.json()

    def wait_for_waiting(self, records: int) -> None:
        """Wait until so many records are accepted and not durable."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while (found := self.health()[1]["waiting"]) != records:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def peak_bytes(self) -> int:
        """The most memory it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    @contextmanager
    def client(self, name: str = "desk", dataset: str = "trades") -> Iterator["Client"]:
        """A client that was greeted."""
        with self.connected(name) as socket:
            socket.send(json.dumps({"dataset": dataset}))
            yield Client(socket, json.loads(socket.recv(ANSWER_SECONDS))["welcome"])

    @contextmanager
    def connected(self, name: str | None = "desk", token: str = "") -> Iterator[ClientConnection]:
        """A connection that has not greeted; without a name also without a token."""
        said = token or (TOKENS[name] if name else "")
        headers = {"Authorization": f"Bearer {said}"} if said else {}
        with connect(
            self.url, additional_headers=headers, compression=None, close_timeout=2, max_size=None
        ) as socket:
            yield socket


@dataclass
class Client:
    """What a careful client does: it numbers records and keeps them until acknowledged."""

    socket: ClientConnection
    welcome: dict[str, Any]

    @property
    def next(self) -> int:
        return int(self.welcome["next"])

    def send(self, first: int, record: bytes) -> None:
        """One record, alone, whatever bytes it has."""
        self.socket.send(b"%d\n%b" % (first, record))

    def send_batch(self, first: int, records: Sequence[bytes]) -> None:
        """Records, one a line."""
        self.socket.send(b"%d %d\n%b" % (first, len(records), b"\n".join(records)))

    def heard(self) -> dict[str, Any]:
        """The next thing the listener says."""
        told: dict[str, Any] = json.loads(self.socket.recv(ANSWER_SECONDS))
        return told

    def acknowledged(self, last: int) -> dict[int, str]:
        """Wait until `last` is acknowledged; the codes of those that went to quarantine."""
        codes: dict[int, str] = {}
        reached = -1
        while reached < last:
            told = self.heard()
            assert "ack" in told, told
            reached = told["ack"]
            for code, positions in told.get("rejected", {}).items():
                codes |= dict.fromkeys(positions, code)
        assert reached == last
        return codes


def _environment(lake: Path) -> dict[str, str]:
    return {
        "LAKE_URI": str(lake),
        "TICKLAKE_KAFKA_BOOTSTRAP": "",
        "TICKLAKE_LISTEN_TOKENS": ",".join(f"{n}:{t}" for n, t in TOKENS.items()),
        "TICKLAKE_LOG_FORMAT": "json",
        "TICKLAKE_BATCH_SECONDS": "0.05",
    }


def closed(client: "Client | ClientConnection") -> tuple[int, str]:
    """Code and reason with which the listener closed; what it said before is passed over."""
    socket = client.socket if isinstance(client, Client) else client
    try:
        while True:
            socket.recv(ANSWER_SECONDS)
    except ConnectionClosed as ended:
        assert ended.rcvd is not None
        return ended.rcvd.code, ended.rcvd.reason


def trade(number: int) -> bytes:
    """A trade that keeps its contract."""
    return (
        b'{"tradeId":"T%d","instrumentId":"BOND_1","price":99.60,"quantity":250000,'
        b'"timestamp":"2025-10-02T14:30:00.250Z","buySellIndicator":"B"}' % number
    )


def trades(first: int, following: int) -> list[bytes]:
    """Trades numbered from `first` to `following`, excluded."""
    return [trade(number) for number in range(first, following)]


def landed(lake: Path, dataset: str = "trades") -> list[dict[str, Any]]:
    """Every row of bronze."""
    return bronze_rows.rows(lake / "bronze" / dataset)


def delivered(
    lake: Path, sent: Mapping[str, Sequence[bytes]], dataset: str = "trades"
) -> list[Delivered]:
    """What clients sent, each record with the time that the listener says it received it at."""
    times = {(row["unit"], row["position"]): row["recv_ts_ns"] for row in landed(lake, dataset)}
    return [
        Delivered(f"ws:{name}/{dataset}", place, times.get((f"ws:{name}/{dataset}", place), 0),
                  record, source=f"ws:{name}")
        for name, records in sent.items()
        for place, record in enumerate(records)
    ]  # fmt: skip


def wrong(lake: Path, sent: Mapping[str, Sequence[bytes]], dataset: str = "trades") -> list[str]:
    """What in bronze is not as it must be when all that was sent has landed; empty is right."""
    return bronze_rows.differences(dataset, landed(lake, dataset), delivered(lake, sent, dataset))


def codes(
    lake: Path, name: str, records: Sequence[bytes], dataset: str = "trades"
) -> dict[int, str]:
    """The code that each record of a client must be rejected with, by its number."""
    verdicts = [judge(dataset, x) for x in delivered(lake, {name: records}, dataset)]
    return {v.delivered.position: v.code for v in verdicts if v.code is not None}


def _child(request: dict[str, Any]) -> None:
    import resource

    from ticklake.cli import main

    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if request["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
    os.environ.update(request["start"])
    sys.argv = ["ticklake", "listen", "--port", "0"]
    main()


def _refuse_threads() -> None:
    """A child that is forked while polars has threads waits for them for ever."""
    tasks = Path("/proc/self/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    if any(name.startswith("polars-") and name[7:].isdigit() for name in names):
        raise RuntimeError(
            "importing the listener started polars' threads: a module makes a Series or computes "
            "when it is imported; let it do so when it is called"
        )


def _serve() -> None:
    import ingestion.listen.server  # noqa: F401  (what every child would import anew)
    import ticklake.cli  # noqa: F401

    _refuse_threads()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _child(request)
                code = 0
            except SystemExit as stopped:
                code = int(stopped.code or 0)
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    _serve()
