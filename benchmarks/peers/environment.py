"""The environment of the peers, apart from ours: made from their lock when it is first needed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.worker import last_words

LOCK = Path(__file__).with_name("requirements.txt")
READY = "installed"


class PeersMissing(RuntimeError):
    """The peers cannot be installed."""


def peers_python() -> Path:
    """The interpreter of the peers' environment, which is made under the user's cache folder.

    Named by the lock's content, so a new lock makes a new one. Raises PeersMissing when the
    package registry is out of reach.
    """
    version = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ticklake-benchmarks" / f"peers-{version}"
    python = folder / "bin" / "python"
    if not (folder / READY).exists():
        print(f"installing the peers into {folder}", file=sys.stderr)
        _make(folder, python)
        (folder / READY).touch()
    return python


def _make(folder: Path, python: Path) -> None:
    _run([sys.executable, "-m", "venv", "--clear", folder])
    try:
        _run([sys.executable, "-m", "uv", "pip", "install", "--quiet", "-p", python, "-r", LOCK])
    except PeersMissing:  # pip knows proxies and certificates that uv does not read
        _run([python, "-m", "pip", "install", "--quiet", "-r", LOCK])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeersMissing(
            f"the peers cannot be installed from {LOCK.name}, most likely because the package "
            f"registry is out of reach: {last_words(done.stderr)}"
        )
