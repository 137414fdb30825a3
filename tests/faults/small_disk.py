"""A disk of eight megabytes that a test fills to the brim: a real one, mounted for its length."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


@dataclass(frozen=True)
class SmallDisk:
    """A mounted disk; everything under `folder` lies on it."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def leave(self, kib: int) -> None:
        """Fill it until so many KiB are free, in pages of four. Fails if less is free already."""
        self.clear()
        surplus = self.free_kib() - kib
        assert surplus >= 0, f"{kib} KiB cannot be left, {self.free_kib()} are free"
        self._ballast.write_bytes(bytes(surplus * KIB))
        assert self.free_kib() == kib

    def clear(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def free_kib(self) -> int:
        """KiB that are free."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize // KIB


class MayNotMount(RuntimeError):
    """Whoever runs the tests may not mount a disk here; the message says why."""


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[SmallDisk]:
    """Mount an empty disk at `folder`, and unmount it at the end. Raises MayNotMount."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MayNotMount(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
