"""Where this project lies, and what it is made of."""

import os
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def absolute(path: Path) -> Path:
    """A relative path counts from the project, not from where the command happens to run:
    `dbt build` in dbt/ and `ticklake status` beside it must mean the same lake."""
    return (PROJECT / path.expanduser()).resolve()


def code_files(project: Path = PROJECT) -> Iterator[Path]:
    """Every file that decides what a build computes and publishes, in a fixed order."""
    for top in ("contracts", "dbt", "lake"):
        for folder, folders, files in os.walk(project / top):
            folders[:] = sorted(set(folders) - {"target", "logs", "__pycache__"})
            yield from (Path(folder) / name for name in sorted(files))
