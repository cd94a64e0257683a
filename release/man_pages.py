"""Manual pages made from the commands: triage(1), and one for each command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click

_FILES = """.SH FILES
.TP
.I /etc/cxr\\-triage/triage.toml
Settings of the Debian package.
.TP
.I /var/lib/cxr\\-triage
Its spool, Redis and audit trail.
.SH ENVIRONMENT
.TP
.B TRIAGE_CONFIG
Settings file, where \\-\\-config does not name one. Each setting has a variable of its own, too:
.BR "triage settings \\-\\-reference" .
.SH EXIT STATUS
0: done. 78: it cannot start as it is set up; its last line says why. Otherwise as each command says.
"""


def man_pages(program: click.Group, name: str, version: str, when: int) -> dict[str, str]:
    """Return the pages of ``program`` by file name; ``when`` is in seconds since 1970."""
    day = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
    return {
        f"{'-'.join(names)}.1": _page(command, names, version, day)
        for names, command in _commands(program, (name,))
        if not command.hidden
    }


def _commands(command: click.Command, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield names, command
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            yield from _commands(each, (*names, name))


def _page(command: click.Command, names: tuple[str, ...], version: str, day: str) -> str:
    context = click.Context(command, info_name=" ".join(names))
    title = "-".join(names)
    parts = [
        f'.TH "{_safe(title.upper())}" 1 {day} "cxr-triage {version}" "cxr-triage"',
        f".SH NAME\n{_safe(title)} \\- {_safe(command.get_short_help_str(200))}",
        f".SH SYNOPSIS\n.B {_safe(' '.join(names))}\n{_safe(' '.join(command.collect_usage_pieces(context)))}",
        f".SH DESCRIPTION\n{_text(command.help or '')}",
        _options(command, context),
    ]
    if isinstance(command, click.Group):
        parts.append(_list("COMMANDS", ((n, c.get_short_help_str(200)) for n, c in sorted(command.commands.items()))))
    if len(names) == 1:
        parts.append(_FILES)
    else:
        parts.append(f".SH SEE ALSO\n.BR {_safe('-'.join(names[:-1]))} (1)")
    return "\n".join(filter(None, parts)) + "\n"


def _options(command: click.Command, context: click.Context) -> str:
    records = (each.get_help_record(context) for each in command.get_params(context))
    return _list("OPTIONS", (record for record in records if record))


def _list(heading: str, rows: Iterator[tuple[str, str]]) -> str:
    items = [f".TP\n.B {_safe(name)}\n{_text(help)}" for name, help in rows]
    return "\n".join([f".SH {heading}", *items]) if items else ""


def _text(help: str) -> str:
    paragraphs = [" ".join(each.split()) for each in help.replace("\b", "").split("\n\n")]
    return "\n.PP\n".join(_safe(each) for each in paragraphs if each)


def _safe(text: str) -> str:
    """Return the text escaped for troff: no command at the start of a line, no hyphen where a minus is meant."""
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("`", "\\(ga").replace("'", "\\(aq")
    )
    return "\\&" + escaped if escaped.startswith((".", "\\(aq")) else escaped
