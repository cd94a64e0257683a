"""Line numbers of the keys of a TOML file, for messages: `tomllib` does not give them. See docs/adr/0048.

The text has been parsed before; where a file is written in a way that is not foreseen here (keys in inline tables), the
line of what surrounds a key is known, and at worst none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]
"""Path of a setting through tables, and through lists by position: ``("channels", "sr", 0, "port")``."""

_TOKEN = re.compile(r'"""[\s\S]*?"""|' r"'''[\s\S]*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'|" r"#[^\n]*|[\[\]{}\n]")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.?)""")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1 on, of each table's heading and of each key."""
    found: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, statement in _statements(text):
        if statement.startswith("["):
            table = _heading(statement, counts)
            found.setdefault(table, number)
        else:
            found.setdefault((*table, *_keys(statement)), number)
    return found


def _heading(statement: str, counts: dict[KeyPath, int]) -> KeyPath:
    is_list = statement.startswith("[[")
    keys = _keys(statement.lstrip("["))
    path: KeyPath = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if is_list and position == len(keys) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _keys(text: str) -> list[str]:
    """Return the parts of the dotted key at the beginning of ``text``."""
    keys, position = [], 0
    while match := _KEY.match(text, position):
        keys.append(next(part for part in match.groups()[:3] if part is not None))
        position = match.end()
        if not match[4]:
            break
    return keys


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line of each heading, and of each key with its value, which may span lines."""
    depth, began, number, begins_at = 0, 0, 1, 1
    for token in (*_TOKEN.finditer(text), None):
        if token is None or (token[0] == "\n" and depth == 0):
            line = text[began : token.start() if token else len(text)].strip()
            if line and not line.startswith("#"):
                yield begins_at, line
            if token:
                began, begins_at = token.end(), number + 1
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        number += token[0].count("\n") if token else 0
