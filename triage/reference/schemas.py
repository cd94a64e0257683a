"""JSON Schemas of the files that people and other programs write or read: a model's card, a model's description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from triage.model.card import ModelCard
from triage.model_import.description import Description
from triage.reference.marked_page import table

FILES: dict[str, type[BaseModel]] = {"card.schema.json": ModelCard, "description.schema.json": Description}
"""File below docs/reference, and the model that it is the schema of."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(name: str) -> str:
    """Return the JSON Schema of one file, as text."""
    return json.dumps({"$schema": DIALECT, **FILES[name].model_json_schema()}, indent=1, ensure_ascii=False) + "\n"


def description_tables() -> dict[str, str]:
    """Return the generated part of docs/reference/model-card.md: every key of a description."""
    return {"description-keys": table(("key", "type", "default", "meaning"), _rows(Description, ""))}


def _rows(model: type[BaseModel], above: str) -> Iterator[tuple[str, str, str, str]]:
    record = model.model_json_schema()
    definitions = record.get("$defs", {})
    for name, value in record["properties"].items():
        inner = _table_of(value, definitions)
        if inner is not None and not above:
            title = f"[[{name}]]" if value.get("type") == "array" else f"[{name}]"
            yield f"`{title}`", "table", _default(name, value, record), inner.get("description", "").partition("\n")[0]
            for key, each in inner["properties"].items():
                yield f"`{name}.{key}`", _kind(each), _default(key, each, inner), each.get("description", "")
        else:
            yield f"`{name}`", _kind(value), _default(name, value, record), value.get("description", "")


def _table_of(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of a table or a list of tables; None for another value."""
    options = [value, value.get("items", {}), *value.get("anyOf", [])]
    named = next((each["$ref"] for each in options if isinstance(each, dict) and "$ref" in each), None)
    if named is None:
        return None
    found: dict[str, Any] = definitions[named.rpartition("/")[2]]
    return found


def _kind(value: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "anyOf" in value:
        return " or ".join(_kind(each) for each in value["anyOf"] if each.get("type") != "null")
    if "$ref" in value:
        return f"as `{value['$ref'].rpartition('/')[2]}` in card.schema.json"
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}" if "items" in value else "list"
    kind = str(value.get("type", "any"))
    return {"string": "text", "boolean": "true or false"}.get(kind, kind)


def _default(name: str, value: dict[str, Any], record: dict[str, Any]) -> str:
    if name in record.get("required", ()):
        return "required"
    default = value.get("default")
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{json.dumps(default)}`"
