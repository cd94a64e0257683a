"""A receiver of Alertmanager's webhooks that writes a line for each alert: an example, and enough to try alerts with.

Usage: python alert_log.py HOST PORT. The path of an address is what its lines begin with. Standard library alone.
"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LARGEST = 1024 * 1024
_SILENT_S = 10.0


def lines(who: str, message: Any) -> list[str]:
    """One line for each alert of a message: receiver, state, name, and what to do."""
    return [_line(who, alert) for alert in message["alerts"]]


def _line(who: str, alert: dict[str, Any]) -> str:
    notes = alert["annotations"]
    said = " | ".join(notes[name] for name in ("summary", "action", "runbook") if name in notes)
    line = f"{who} {alert['status']} {alert['startsAt']} {alert['labels']['alertname']}: {said}"
    return "".join(each if each.isprintable() else " " for each in line)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENT_S

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            said = lines(self.path.strip("/")[:40], json.loads(self.rfile.read(int(length))))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        sys.stdout.write("".join(f"{each}\n" for each in said))
        sys.stdout.flush()
        self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Only alerts are written."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), _Handler).serve_forever()
