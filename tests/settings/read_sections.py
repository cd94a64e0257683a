"""The sections of the settings that a function reads, by its source and that of the functions that it calls.

Processes are handed the settings in ``triage.service`` and ``triage.canary`` alone; all other code gets values. So the
closure over names in those folders finds every section that a process reads.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from triage.settings.schema import Settings

ROOT = Path(__file__).parents[2]
ROOMS = ("triage.service.", "triage.canary.wiring", "triage.settings.reference")
HOLDERS = {"settings", "_settings"}


@cache
def module(name: str) -> ast.Module:
    return ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text())


def definitions(name: str) -> dict[str, ast.AST]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: node for node in module(name).body if isinstance(node, kinds)}


def imported(nodes: ast.AST) -> dict[str, tuple[str, str]]:
    """Local name to module and name, of the imports of our rooms below ``nodes``."""
    found = {}
    for node in ast.walk(nodes):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if (ROOT / f"{whole.replace('.', '/')}.py").exists():
                    found[alias.asname or alias.name] = (whole, "")  # a module
                elif node.module.startswith(ROOMS):
                    found[alias.asname or alias.name] = (node.module, alias.name)
    return found


@cache
def sections_read(name: str, function: str) -> frozenset[str]:
    """The sections that ``function`` of the module ``name`` reads, itself or by what it calls."""
    return frozenset(_closure(name, function, set()))


def _closure(name: str, function: str, seen: set[tuple[str, str]]) -> set[str]:
    if (name, function) in seen or function not in definitions(name):
        return set()
    seen.add((name, function))
    node = definitions(name)[function]
    names = {**{each: (name, each) for each in definitions(name)}, **imported(module(name)), **imported(node)}
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and _is_settings(each.value):
            found |= _of_attribute(each.attr)
        if isinstance(each, ast.Name) and each.id in names and names[each.id][1]:
            found |= _closure(*names[each.id], seen)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in names:
            of, inside = names[each.value.id]
            if not inside and of.startswith(ROOMS):
                found |= _closure(of, each.attr, seen)
    return found


def _is_settings(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in HOLDERS) or (
        isinstance(node, ast.Attribute) and node.attr in HOLDERS
    )


def _of_attribute(attribute: str) -> set[str]:
    """The section of this name, or those that a property of ``Settings`` reads."""
    if attribute in Settings.model_fields:
        return {attribute}
    if not isinstance(getattr(Settings, attribute, None), property):
        return set()
    schema = next(node for node in module("triage.settings.schema").body if getattr(node, "name", "") == "Settings")
    (node,) = (each for each in ast.walk(schema) if isinstance(each, ast.FunctionDef) and each.name == attribute)
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self"
    } & set(Settings.model_fields)
