"""Where this project lies: what a relative path in a setting counts from."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def absolute(path: Path) -> Path:
    """A relative path counts from the project, not from where the command happens to run:
    `dbt build` in dbt/ and `ticklake status` beside it must mean the same lake."""
    return (PROJECT / path.expanduser()).resolve()
