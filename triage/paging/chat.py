"""Pages to a chat by its incoming webhook: an HTTP POST of JSON, made of the site's template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from triage.dicom.tls import ClientTLS
from triage.errors import TriageError
from triage.paging.message import Page
from triage.paging.route import NotTakenError, Taken
from triage.runtime.http_request import HttpPeer, PeerError

FIELDS = ("text", "title", "finding", "ppv", "accession_number", "address", "number")
"""Fields of a template: the whole text of the page, and parts of it."""
_FIELD = re.compile(r"\{([A-Za-z_]+)\}")


class ChatTemplateError(TriageError, ValueError):
    """A template must not be used; the text says why."""


@dataclass(frozen=True)
class ChatTemplate:
    """A JSON value whose texts have fields: no value can leave its text."""

    content: object

    @classmethod
    def parse(cls, text: str) -> ChatTemplate:
        """Return the template in ``text``. Raises ChatTemplateError."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ChatTemplateError(f"it is no JSON: {error}") from error
        named = set(_fields(content))
        if unknown := sorted(named - set(FIELDS)):
            raise ChatTemplateError(f"it has the unknown field {{{unknown[0]}}}: there are {', '.join(FIELDS)}")
        if "text" not in named:
            raise ChatTemplateError("it lacks {text}, which says the finding and how often such a result is right")
        return cls(content)

    def filled(self, values: Mapping[str, str]) -> bytes:
        """Return the body of the request."""
        return json.dumps(_filled(self.content, values)).encode()


def _fields(content: object) -> list[str]:
    if isinstance(content, str):
        return _FIELD.findall(content)
    inside = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [name for each in inside for name in _fields(each)]


def _filled(content: object, values: Mapping[str, str]) -> object:
    if isinstance(content, str):
        return _FIELD.sub(lambda found: values[found[1]], content)
    if isinstance(content, list):
        return [_filled(each, values) for each in content]
    if isinstance(content, dict):
        return {key: _filled(each, values) for key, each in content.items()}
    return content


@dataclass(frozen=True)
class ChatRoute:
    """Posts to the webhook ``url``, which is a secret: who knows it can write there. ``timeout_s``: for all of it."""

    url: str = field(repr=False)
    template: ChatTemplate
    timeout_s: float
    ca: ClientTLS | None = None
    name: str = "chat"

    def send(self, page: Page) -> Taken:
        """Post a page; see ``Route``. Redirects are not followed."""
        peer = self._peer()
        try:
            answer = peer.ask("POST", self.template.filled(page.fields), {"Content-Type": "application/json"})
        except PeerError as error:
            raise NotTakenError(f"the chat does not answer ({error})") from error
        finally:
            peer.close()
        if not 200 <= answer.status < 300:
            raise NotTakenError(f"the chat answers HTTP {answer.status}")
        return Taken()

    def reach(self) -> None:
        """Connect; see ``Route``."""
        peer = self._peer()
        try:
            peer.connect()
        except PeerError as error:
            raise NotTakenError(f"the chat cannot be reached ({error})") from error
        finally:
            peer.close()

    def _peer(self) -> HttpPeer:
        try:
            secure = urlsplit(self.url).scheme == "https"
            return HttpPeer(self.url, self.timeout_s, self.ca.context() if self.ca and secure else None)
        except (OSError, ValueError) as error:
            raise NotTakenError("our file of authorities for the chat cannot be used") from error
