"""A disk that loses its power: real system calls recorded by strace, and every state that a disk may be in after each.

What is assumed of a disk, and no more:

- ``fsync`` of a file makes its content durable, and says nothing of its name;
- ``fsync`` of a folder makes the names in it durable, in the state of that moment;
- ``syncfs`` makes everything durable;
- a rename is one step: after a power loss the file has the old name or the new one. Journals give that (ext4, XFS,
  Btrfs, F2FS);
- names in one folder change in the order in which they were changed; those of different folders in any order;
- content that was not synced may be lost, whether or not the file's name is there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

STRACE = Path("/usr/bin/strace")
_TRACED = (
    "openat,open,creat,write,writev,pwrite64,pwritev,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,ftruncate,truncate,link,linkat,symlink,symlinkat,copy_file_range,sendfile,splice,fallocate"
)
_CALL = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_EXITED = re.compile(r"^\d+ +\+\+\+ exited with ")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_UNFINISHED = " <unfinished ...>"
_DESCRIPTOR = re.compile(r"^(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)")


@dataclass(frozen=True)
class Call:
    """One system call: its name, the texts among its arguments, the path of its first descriptor, and its flags."""

    name: str
    texts: tuple[bytes, ...]
    descriptor: str
    arguments: str


def record(command: Sequence[str], folder: Path) -> list[Call]:
    """What a command asks of the system about files; raises where it fails."""
    log = folder / "strace.log"
    strace = [str(STRACE), "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={_TRACED}", "-o", str(log)]
    done = subprocess.run([*strace, *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = _whole(log.read_text(errors="replace").splitlines())
    assert not any("unfinished" in line for line in lines), "two threads write at once: not understood here"
    return [call for line in lines if (call := _call(line)) is not None]


def _whole(lines: Sequence[str]) -> list[str]:
    """Join a call to its end, where only the end of a thread stands between: one that has done its work, and is joined.

    Two calls at once stay in pieces.
    """
    calls = [line for line in lines if not _EXITED.match(line)]
    whole: list[str] = []
    for line in calls:
        resumed = _RESUMED.match(line)
        if resumed and whole and whole[-1].startswith(f"{resumed[1]} ") and whole[-1].endswith(_UNFINISHED):
            whole[-1] = whole[-1].removesuffix(_UNFINISHED) + resumed[2]
        else:
            whole.append(line)
    return whole


def _call(line: str) -> Call | None:
    found = _CALL.match(line)
    if not found or found[3].startswith("-"):
        return None
    texts = tuple(_bytes(each[1]) for each in _TEXT.finditer(found[2]))
    descriptor = _DESCRIPTOR.match(found[2])
    return Call(found[1], texts, _bytes(descriptor[1]).decode() if descriptor else "", found[2])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class _Node:
    """A file or a folder. ``content``: what was written; ``durable``: how much of it is on the disk."""

    number: int
    is_folder: bool
    content: bytes = b""
    durable: bytes = b""


@dataclass(frozen=True)
class _Change:
    """One change of names, in one step: in each folder a name that is now a node, or none. ``home``'s sync counts."""

    home: int
    names: tuple[tuple[int, str, int | None], ...]


Tree = dict[str, bytes | None]
"""What is on a disk: a file's content by its path, None for a folder."""


@dataclass
class Disk:
    """A disk below ``root``, as the calls change it, and as it may be after a power loss."""

    root: Path
    nodes: dict[int, _Node] = field(default_factory=lambda: {0: _Node(0, is_folder=True)})
    names: dict[tuple[int, str], int] = field(default_factory=dict)
    durable_names: dict[tuple[int, str], int] = field(default_factory=dict)
    pending: list[_Change] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def apply(self, call: Call) -> bool:
        """Take over a call; whether it is one about this disk."""
        paths = [self._below(text) for text in call.texts]
        about = self._below(call.descriptor.encode())
        if call.name in ("openat", "open", "creat"):
            return paths[0] is not None and self._open(paths[0], call.arguments)
        if call.name in ("mkdir", "mkdirat"):
            return paths[0] is not None and self._made(paths[0], is_folder=True)
        if call.name in ("rename", "renameat", "renameat2"):
            assert (paths[0] is None) == (paths[1] is None), "a file comes from elsewhere"
            return paths[0] is not None and paths[1] is not None and self._renamed(paths[0], paths[1])
        if call.name in ("unlink", "unlinkat", "rmdir"):
            path = paths[0] if paths[0] is not None or call.name != "unlinkat" else None
            if path is None and about is not None and not call.texts[0].startswith(b"/"):
                path = f"{about}/{call.texts[0].decode()}".lstrip("/")
            return path is not None and self._removed(path)
        if about is None:
            return False
        if call.name in ("write", "writev"):
            self._node(about).content += b"".join(call.texts)
            return True
        if call.name in ("fsync", "fdatasync"):
            return self._synced(about)
        if call.name == "syncfs":
            return self._synced_whole()
        raise AssertionError(f"{call.name} is not understood here")

    def after_power_loss(self) -> Iterator[Tree]:
        """The states that the disk may be in: nothing pending, all of it, of one folder alone, of all but one, each
        without the content that was not synced; and all of it with that, as after a crash of the program alone.
        """
        homes = sorted({change.home for change in self.pending})
        chosen = [set(), set(homes), *({each} for each in homes), *(set(homes) - {each} for each in homes)]
        seen: set[frozenset[int]] = set()
        for some in map(frozenset, chosen):
            if some in seen:
                continue
            seen.add(some)
            names = dict(self.durable_names)
            for change in self.pending:
                if change.home in some:
                    _change(names, change)
            yield self._tree(names, whole=False)
        yield self._tree(self.names, whole=True)

    def _below(self, path: bytes) -> str | None:
        text = path.decode("utf-8", "replace")
        root = str(self.root)
        return text[len(root) :].strip("/") if text == root or text.startswith(f"{root}/") else None

    def _open(self, path: str, arguments: str) -> bool:
        if "O_CREAT" in arguments and self._find(path) is None:
            return self._made(path, is_folder=False)
        if "O_TRUNC" in arguments:
            self._node(path).content = b""
        return False

    def _made(self, path: str, *, is_folder: bool) -> bool:
        if not path:
            return False
        node = _Node(next(self._numbers), is_folder)
        self.nodes[node.number] = node
        folder, name = self._place(path)
        return self._changed(_Change(folder, ((folder, name, node.number),)))

    def _renamed(self, source: str, target: str) -> bool:
        (old, old_name), (new, new_name) = self._place(source), self._place(target)
        number = self.names[old, old_name]
        return self._changed(_Change(new, ((old, old_name, None), (new, new_name, number))))

    def _removed(self, path: str) -> bool:
        folder, name = self._place(path)
        return self._changed(_Change(folder, ((folder, name, None),)))

    def _changed(self, change: _Change) -> bool:
        _change(self.names, change)
        self.pending.append(change)
        return True

    def _synced(self, path: str) -> bool:
        node = self._node(path)
        node.durable = node.content
        if node.is_folder:
            self._settle([change for change in self.pending if change.home == node.number])
        return True

    def _synced_whole(self) -> bool:
        for node in self.nodes.values():
            node.durable = node.content
        self._settle(list(self.pending))
        return True

    def _settle(self, changes: list[_Change]) -> None:
        for change in changes:
            _change(self.durable_names, change)
            self.pending.remove(change)

    def _place(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        found = self._find(folder)
        assert found is not None, f"no folder {folder!r}"
        return found, name

    def _find(self, path: str) -> int | None:
        number: int | None = 0
        for part in filter(None, path.split("/")):
            number = None if number is None else self.names.get((number, part))
        return number

    def _node(self, path: str) -> _Node:
        number = self._find(path)
        assert number is not None, f"no file {path!r}"
        return self.nodes[number]

    def _tree(self, names: dict[tuple[int, str], int], *, whole: bool) -> Tree:
        tree: Tree = {}
        children: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), number in names.items():
            children.setdefault(folder, []).append((name, number))
        ahead = [("", 0)]
        while ahead:
            path, number = ahead.pop()
            for name, child in children.get(number, []):
                node, place = self.nodes[child], f"{path}/{name}".lstrip("/")
                tree[place] = None if node.is_folder else (node.content if whole else node.durable)
                ahead.append((place, child))
        return tree


def _change(names: dict[tuple[int, str], int], change: _Change) -> None:
    for folder, name, number in change.names:
        if number is None:
            names.pop((folder, name), None)
        else:
            names[folder, name] = number


def write(tree: Tree, root: Path) -> None:
    """Make the files of a state below ``root``."""
    root.mkdir(mode=0o700)
    for path, content in sorted(tree.items()):
        place = root / path
        if content is None:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.write_bytes(content)
