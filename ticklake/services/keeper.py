"""Runs a command and starts it again when it fails, as a container's restart policy does.

Airflow's scheduler ends when its database server goes away; on PostgreSQL that may be a restart of
a few seconds. A command that never stood for `STOOD_S` is not started again: its error is told.

    python -m ticklake.services.keeper command argument ...
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

STOOD_S = 20.0
LONGEST_PAUSE_S = 30.0


def keep(command: Sequence[str], stood_s: float = STOOD_S) -> int:
    """Run `command` until it ends well, we are told to stop, or it never stood; its exit code."""
    stopping = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        child.send_signal(number)  # a second time, where the whole session was told; it is the same

    has_stood, pause = False, 1.0
    while True:
        began = time.monotonic()
        child = subprocess.Popen(list(command))
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        code = child.wait()
        if time.monotonic() - began >= stood_s:
            has_stood, pause = True, 1.0
        if stopping or code == 0 or not has_stood:
            return code
        print(f"keeper: ended with {code}; starting again in {pause:.0f} s", flush=True)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
        if stopping:
            return code


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
