"""An empty lake that was built once, for lakes of tests to begin as.

A first build makes every table; with nothing landed that is the same for every lake. Tests begin
from a copy, so that what they land is built as it would be at a desk: on top of what stands. Made
once for a state of the code, however many test processes ask for it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from lake.layout import layout
from lake.locks import held
from lake.records import current
from lake.settings import PROJECT, load_settings

_CODE = ("dbt/models", "dbt/macros", "dbt/seeds", "dbt/tests", "lake", "contracts")
_PARSED = ("partial_parse.msgpack", "manifest.json")


def begin_as_empty(root: Path, target: Path, models: str) -> None:
    """Put an empty, built and published lake at `root`, and the parsed project into `target`;
    bronze that lies there stays, and what was built before is left alone."""
    made = _made(models)
    target.mkdir(parents=True, exist_ok=True)
    for name in _PARSED:
        if not (target / name).exists():
            shutil.copy(made / "target" / name, target)
    where = layout(load_settings({"LAKE_URI": str(root)}))
    if where.warehouse.exists() or current(where) is not None:
        return
    shutil.copytree(made / "lake", root, dirs_exist_ok=True)


@cache
def _made(models: str) -> Path:
    made = Path(tempfile.gettempdir()) / f"ticklake-empty-{models}-{_digest()}"
    made.mkdir(exist_ok=True)
    with held(made / "lock", wait_s=300):
        if not (made / "done").exists():
            _build(made, models)
            (made / "done").touch()
    return made


def _build(made: Path, models: str) -> None:
    for name in ("lake", "target"):
        shutil.rmtree(made / name, ignore_errors=True)
    settled = {k: v for k, v in os.environ.items() if not k.startswith(("TICKLAKE_", "LAKE_"))}
    folders = ["--target-path", str(made / "target"), "--log-path", str(made / "target")]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dbt"), "build", "--quiet", *folders],
        cwd=PROJECT / "dbt",
        env={
            **settled,
            "TICKLAKE_MODELS": models,
            "PYTHONPATH": str(PROJECT),
            "LAKE_URI": str(made / "lake"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"an empty lake cannot be built:\n{done.stdout}{done.stderr}")
    shutil.rmtree(made / "lake" / "run", ignore_errors=True)


def _digest() -> str:
    digest = hashlib.sha256(str(PROJECT).encode())
    files = [p for name in _CODE for p in (PROJECT / name).rglob("*") if p.is_file()]
    for path in sorted([*files, *(PROJECT / "dbt").glob("*.*")]):
        if "__pycache__" not in path.parts:
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
