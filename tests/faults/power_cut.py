"""What a power cut leaves: a process is recorded call by call, and only what it synced is kept.

`record` runs Python under strace and gives its calls on a folder. `Disk` takes them one by one and
knows, at any moment, what a process sees and what would be there after a cut. The rules are those
of POSIX and no kinder: the bytes of a file last from its own fsync on, a name from the fsync of
its folder on, and neither does anything for the other.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CALLS = (
    "mkdir,mkdirat,open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,rmdir,truncate,ftruncate,fallocate,fsync,fdatasync,"
    "copy_file_range,sendfile"
)
LONGEST = 8_000_000  # bytes of one write that are recorded
SECTOR = 512  # a disk writes no less

_LINE = re.compile(r"^(\d+) +(.*)$", re.S)
_UNFINISHED = re.compile(r"^(.*) <unfinished \.\.\.>$", re.S)
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$", re.S)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)", re.S)
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")


@dataclass(frozen=True)
class Call:
    """One call that succeeded: the path of its descriptor, its strings and its numbers.

    A sync that other calls ran beside comes twice, as `<name>` when it began and `done` when it
    ended: what it covers is what was there when it began.
    """

    name: str
    thread: str
    descriptor: Path | None
    strings: tuple[bytes, ...]
    text: str
    result: int
    is_begin: bool = False

    def paths(self) -> list[Path]:
        """Its strings as paths."""
        return [Path(os.fsdecode(text)) for text in self.strings]


def is_possible() -> str:
    """Why nothing can be recorded here; empty if it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed (apt-get install strace)"
    tried = subprocess.run([strace, "-f", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr[-200:]}"


def record(code: str, environment: Mapping[str, str], trace: Path) -> list[Call]:
    """Run Python code to its end and return its calls, in their order. Fails if the code does."""
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-xx", "-s", str(LONGEST), "-o", str(trace),
         "--seccomp-bpf", "-e", f"trace={CALLS}", sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    return list(_calls(trace))


def _calls(trace: Path) -> Iterator[Call]:
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            matched = _LINE.match(line.rstrip("\n"))
            assert matched, line[:200]
            thread, text = matched.groups()
            if unfinished := _UNFINISHED.match(text):
                begun[thread] = unfinished[1]
                if text.startswith(("fsync", "fdatasync")):
                    yield _call(thread, f"{unfinished[1]}) = 0", is_begin=True)
                continue
            if resumed := _RESUMED.match(text):
                text = begun.pop(thread) + resumed[1]
            if call := _CALL.match(text):
                if int(call[3]) >= 0:
                    yield _call(thread, text)
            else:
                assert text.startswith(("+++", "---")) or "= ?" in text, text[:200]


def _call(thread: str, text: str, is_begin: bool = False) -> Call:
    call = _CALL.match(text)
    assert call, text[:200]
    name, arguments, result = call.groups()
    found = _HEX.findall(arguments)
    assert not any(cut for _, cut in found), f"a write of more than {LONGEST} bytes"
    opened = name in ("open", "openat", "creat")
    descriptor = _DESCRIPTOR.search(text[call.end(2) :] if opened else arguments)
    return Call(
        name,
        thread,
        Path(os.fsdecode(_bytes(descriptor[2]))) if descriptor and not descriptor[3] else None,
        tuple(_bytes(text) for text, _ in found),
        _HEX.sub('""', _DESCRIPTOR.sub(r"\1", arguments)),
        int(result),
        is_begin,
    )


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


# --- the disk -----------------------------------------------------------------------------------


@dataclass(eq=False)
class File:
    """Bytes as processes see them, and as they lie on the disk."""

    seen: bytearray = field(default_factory=bytearray)
    lasting: bytes = b""


@dataclass(eq=False)
class Folder:
    """Names as processes see them, and as they lie on the disk."""

    seen: dict[str, "File | Folder"] = field(default_factory=dict)
    lasting: dict[str, "File | Folder"] = field(default_factory=dict)


class Disk:
    """A folder that calls change; empty and durable at first."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = Folder()
        self._begun: dict[str, bytes | dict[str, File | Folder]] = {}
        self._offset: dict[Path, int] = {}
        self._appended: set[Path] = set()

    def take(self, call: Call) -> bool:
        """Let one call change the folder; False if it is about something else."""
        paths = [path for path in call.paths() if self.top in path.parents] if (
            not call.name.startswith(("write", "pwrite"))) else []  # fmt: skip
        within = call.descriptor is not None and (
            call.descriptor == self.top or self.top in call.descriptor.parents
        )
        if not paths and not within:
            return False
        getattr(self, f"_{_SAME.get(call.name, call.name)}")(call, paths)
        return True

    def survivors(self, sectors: int | None = None) -> dict[str, bytes | None]:
        """What a cut leaves: path below the top -> bytes, None for a folder.

        Only what was synced; or, with `sectors`, every name that was given, as a disk may write
        names first, and of bytes that were not synced the first so many sectors (all but so many,
        if negative).
        """
        return dict(_left(self.root, "", sectors))

    def seen(self) -> dict[str, bytes | None]:
        """What processes see, as `survivors` gives it."""
        return dict(_seen(self.root, ""))

    def _at(self, path: Path) -> "File | Folder":
        found: File | Folder = self.root
        for name in path.relative_to(self.top).parts:
            assert isinstance(found, Folder), path
            found = found.seen[name]
        return found

    def _folder(self, path: Path) -> Folder:
        found = self._at(path)
        assert isinstance(found, Folder), path
        return found

    def _file(self, path: Path | None) -> File:
        assert path is not None
        found = self._at(path)
        assert isinstance(found, File), path
        return found

    def _mkdir(self, call: Call, paths: list[Path]) -> None:
        self._folder(paths[0].parent).seen[paths[0].name] = Folder()

    def _open(self, call: Call, paths: list[Path]) -> None:
        path = call.descriptor
        assert path is not None
        if "O_CREAT" in call.text and path.name not in self._folder(path.parent).seen:
            self._folder(path.parent).seen[path.name] = File()
        if "O_TRUNC" in call.text:
            self._file(path).seen.clear()
        if "O_APPEND" in call.text:
            self._appended.add(path)
        elif "O_WRONLY" in call.text or "O_RDWR" in call.text:
            self._offset[path] = 0

    def _write(self, call: Call, _: list[Path]) -> None:
        assert call.descriptor is not None
        data = b"".join(call.strings)[: call.result]
        is_appended = call.descriptor in self._appended
        at = len(self._file(call.descriptor).seen) if is_appended else self._offset[call.descriptor]
        self._put(call.descriptor, at, data)
        self._offset[call.descriptor] = at + len(data)

    def _pwrite64(self, call: Call, _: list[Path]) -> None:
        assert call.descriptor is not None
        at = int(call.text.rsplit(",", 1)[1])
        self._put(call.descriptor, at, b"".join(call.strings)[: call.result])

    def _put(self, path: Path, at: int, data: bytes) -> None:
        seen = self._file(path).seen
        seen.extend(bytes(max(0, at - len(seen))))
        seen[at : at + len(data)] = data

    def _ftruncate(self, call: Call, _: list[Path]) -> None:
        size = int(call.text.rsplit(",", 1)[1])
        seen = self._file(call.descriptor).seen
        del seen[size:]
        seen.extend(bytes(size - len(seen)))

    def _link(self, _: Call, paths: list[Path]) -> None:
        old, new = paths
        self._folder(new.parent).seen[new.name] = self._at(old)

    def _rename(self, _: Call, paths: list[Path]) -> None:
        old, new = paths
        self._folder(new.parent).seen[new.name] = self._folder(old.parent).seen.pop(old.name)

    def _unlink(self, _: Call, paths: list[Path]) -> None:
        del self._folder(paths[0].parent).seen[paths[0].name]

    def _fsync(self, call: Call, _: list[Path]) -> None:
        if call.descriptor is None:
            return
        found = self._at(call.descriptor)
        now = bytes(found.seen) if isinstance(found, File) else dict(found.seen)
        if call.is_begin:
            self._begun[call.thread] = now
            return
        found.lasting = self._begun.pop(call.thread, now)


_SAME = {"mkdirat": "mkdir", "openat": "open", "creat": "open", "writev": "write",
         "pwritev": "pwrite64", "renameat": "rename", "renameat2": "rename", "linkat": "link",
         "unlinkat": "unlink", "rmdir": "unlink", "fdatasync": "fsync"}  # fmt: skip


def _seen(folder: Folder, above: str) -> Iterator[tuple[str, bytes | None]]:
    for name, found in folder.seen.items():
        if isinstance(found, Folder):
            yield f"{above}{name}", None
            yield from _seen(found, f"{above}{name}/")
        else:
            yield f"{above}{name}", bytes(found.seen)


def _left(folder: Folder, above: str, sectors: int | None) -> Iterator[tuple[str, bytes | None]]:
    names = folder.lasting if sectors is None else folder.seen
    for name, found in names.items():
        if isinstance(found, Folder):
            yield f"{above}{name}", None
            yield from _left(found, f"{above}{name}/", sectors)
        elif sectors is None or bytes(found.seen) == found.lasting:
            yield f"{above}{name}", found.lasting
        else:
            yield f"{above}{name}", bytes(found.seen[: SECTOR * sectors])


def lay_out(left: Mapping[str, bytes | None], folder: Path) -> None:
    """Make a folder hold exactly what a cut has left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in left.items():
        if data is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
