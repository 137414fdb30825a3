"""A process of its own for each measured thing: nothing leaks into it, its peak memory is its own.

Standard library only: the peers run it too, in an environment that has nothing of ours.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROJECT = Path(__file__).resolve().parent.parent
END_SECONDS = 20.0

Job = dict[str, Any]


class WorkFailed(RuntimeError):
    """The work ended with an error; the message has its last words."""


class Worker:
    """A process that works off jobs one after the other: `with Worker("benchmarks.kafka") as w`.

    The module's `__main__` calls `serve`. CPU and clock run over the job alone, imports excluded.
    """

    def __init__(self, module: str, python: Path = Path(sys.executable)) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def ask(self, **job: Any) -> Job:
        """Have a job done; returns what `serve` says of it. Raises WorkFailed."""
        self.begin(**job)
        return self.end()

    def begin(self, **job: Any) -> None:
        """Have a job begun; `end` waits for it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone, and `end` says so
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()

    def interrupt(self) -> None:
        """Press Ctrl-C, for a job that ends no other way."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> Job:
        """Wait for the job that was begun. Raises WorkFailed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise WorkFailed(f"{self.module} ended with exit code {code}; see above")
        answer: Job = json.loads(line)
        if "error" in answer:
            raise WorkFailed(f"{self.module}: {answer['error']}")
        return answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        if kind is not None:  # the job may never end
            self._process.kill()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def once(module: str, **job: Any) -> Job:
    """One job in a process of its own."""
    with Worker(module) as worker:
        return worker.ask(**job)


def serve(jobs: dict[str, Callable[..., Job]]) -> None:
    """Work off the jobs that come on stdin, a JSON object a line; `do` names which.

    A job's function gets the rest of the object and returns a dict with `records`. The answer is
    that dict and, unless the function measured them itself, `seconds`, `cpu_seconds` (of all
    threads of this process), `system_seconds` (the kernel's part of it) and `peak_mb` (so far).
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    for line in sys.stdin:
        job = json.loads(line)
        work = jobs[job.pop("do")]
        wall, cpu, system = time.perf_counter(), time.process_time(), system_seconds()
        try:
            answer = work(**job)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        else:
            spent = {
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "system_seconds": system_seconds() - system,
                "peak_mb": peak_mb(),
            }
            answer = {**spent, **answer}
        print(json.dumps(answer), file=answers, flush=True)


def system_seconds() -> float:
    """The kernel's part of this process's CPU time; os.times counts it in steps of 10 ms."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def peak_mb() -> int:
    """Peak resident memory of this process.

    Linux's ru_maxrss begins with what the parent held before exec; the kernel's own mark does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def last_words(output: str) -> str:
    """The last line of a program's output that says something."""
    said = [line.strip() for line in output.splitlines() if line.strip()]
    return said[-1] if said else "nothing"
