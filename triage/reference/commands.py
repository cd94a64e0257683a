"""The reference of commands: what ``--help`` says, as a page."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from triage.commands import CommandSection, registered_commands
from triage.reference.marked_page import table


def commands() -> dict[str, str]:
    """Return a generated part for each section: every command with its help, arguments and options."""
    found = list(registered_commands())
    return {
        f"commands-{section.name.lower()}": "\n".join(
            _entry(name, command)
            for each in found
            if each.section is section
            for name, command in _commands_below(each.command)
        )
        for section in CommandSection
    }


def _commands_below(command: click.Command, above: str = "triage") -> Iterator[tuple[str, click.Command]]:
    name = f"{above} {command.name}"
    yield name, command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _commands_below(each, name)


def _entry(name: str, command: click.Command) -> str:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    usage = " ".join([name, *(each.make_metavar(click.Context(command)) for each in arguments)])
    help_text = "\n\n".join(" ".join(part.split()) for part in cleandoc(command.help or "").split("\n\n"))
    parts = [f"### `{name}`\n", f"`{usage}`\n" if arguments else "", f"{help_text}\n"]
    if options:
        parts.append(table(("option", "default", "meaning"), [_option(each) for each in options]))
    return "\n".join(filter(None, parts))


def _option(option: click.Option) -> tuple[str, str, str]:
    metavar = (
        ""
        if option.is_flag
        else f" {option.make_metavar(click.Context(click.Command('triage'))).removesuffix(' RANGE')}"
    )
    names = ", ".join(f"`{each}{metavar}`" for each in (*option.opts, *option.secondary_opts))
    required = "required" if option.required else ""
    default = f"`{option.default}`" if option.show_default and option.default not in (None, (), "") else required
    several = " May be given several times." if option.multiple else ""
    return names, default, f"{option.help or ''}{several}"
