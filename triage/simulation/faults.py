"""Faults of a scenario, each with the key where it lies, so that a message can name key and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from triage.runtime.toml_lines import KeyPath, key_lines

Fault = tuple[KeyPath, str]
"""Path of the key, and what is wrong with it."""


def refuse(faults: Iterable[Fault]) -> None:
    """Raise one ValidationError with all faults; none, no error."""
    found = [
        InitErrorDetails(type=PydanticCustomError("scenario", "{text}", {"text": text}), loc=path, input=None)
        for path, text in faults
    ]
    if found:
        raise ValidationError.from_exception_data("scenario", found)


def below(path: KeyPath, faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults of a part of the scenario, with paths from its top."""
    return [((*path, *inner), text) for inner, text in faults]


def described(error: ValidationError, text: str, values: Mapping[str, object], changed: Mapping[str, object]) -> str:
    """Return a line for each fault: the line of ``text`` (a TOML file), the key, and what is wrong.

    Keys of the tables ``changed`` do not come from the file: they have no line.
    """
    lines = key_lines(text)
    found = []
    for problem in error.errors():
        path = _keys(problem["loc"], values)
        line = None if path and path[0] in changed else _line(path, lines)
        place = "" if line is None else f"line {line}, "
        key = f"{'.'.join(map(str, path))}: " if path else ""
        found.append(f"  {place}{key}{problem['msg'].removeprefix('Value error, ')}")
    return "\n".join(found)


def _line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of the key, of a list's first table, or of the innermost table that is known."""
    candidates = (key for end in range(len(path), 0, -1) for key in (path[:end], (*path[:end], 0)))
    return next((lines[key] for key in candidates if key in lines), None)


def _keys(path: KeyPath, values: object) -> KeyPath:
    """Return the path without what is no key of the file: names of alternatives of a type."""
    keys: list[str | int] = []
    for part in path:
        if _has(values, part):
            values = values[part]  # type: ignore[index]  # _has says so
        elif not (isinstance(values, Mapping) and part == path[-1]):
            continue
        keys.append(part)
    return tuple(keys)


def _has(values: object, part: str | int) -> bool:
    if isinstance(values, Mapping):
        return part in values
    return isinstance(values, list) and isinstance(part, int) and part < len(values)
