"""A plug-in's channel, guarded: what it returns has the type that delivery relies on, or counts as its failure."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from triage.channels.base import Built, Channel, Send, SendResult, Skipped
from triage.channels.plugin.settings import PluginDestination
from triage.errors import StartError, UnreachableError
from triage.plugins.bounded_call import BoundedCalls
from triage.plugins.errors import PluginFaultError
from triage.runtime.logs import where_raised
from triage.spool.study import Study

logger = logging.getLogger(__name__)

T = TypeVar("T")

_METHODS = ("wants", "content", "build", "connect", "reach", "check")


def guarded(channel: object, destination: PluginDestination) -> Channel:
    """Return the channel, guarded. Raises StartError if it lacks a part of the interface."""
    lacking = [name for name in _METHODS if not callable(getattr(channel, name, None))]
    if not isinstance(getattr(channel, "encoder", None), str):
        lacking.append("encoder")
    if lacking:
        made, parts = type(channel).__name__, ", ".join(lacking)
        raise StartError(
            f"destination {destination.name}: {destination.plugin} makes a {made}, which is no channel: it lacks "
            f"{parts}"
        )
    calls = BoundedCalls(f"the channel {destination.plugin}", destination.timeout_s)
    return PluginChannel(channel, destination.plugin, calls)  # type: ignore[arg-type]


@dataclass(frozen=True)
class PluginChannel:
    """The channel of a plug-in. What it raises while it builds is a dead letter, and while it sends a failed attempt.

    Each call is bounded: a study is locked while its message is built, and its worker would wait.
    """

    channel: Channel
    plugin: str
    calls: BoundedCalls

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder; see ``Channel``."""
        return f"plugin {self.plugin} {self.channel.encoder}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        return self._of_type(bool, lambda: self.channel.wants(study))

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``. Raises PluginFaultError if it is no list of JSON values."""
        content: list[object] = self._of_type(list, lambda: self.channel.content(study))
        try:
            same: list[object] = json.loads(json.dumps(content, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise PluginFaultError(f"{self.plugin}: its content is not JSON") from error
        return same

    def build(self, study: Study) -> Built | Skipped:
        """Build the message of a revision; see ``Channel``."""
        built = self.calls.run(lambda: self.channel.build(study))
        if isinstance(built, Skipped) or (isinstance(built, Built) and isinstance(built.payload, bytes)):
            return built
        raise PluginFaultError(f"{self.plugin} builds {type(built).__name__}, and not Built with bytes")

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Open a connection for messages. Raises UnreachableError, also for a failure of the plug-in."""
        connection = self._or_unreachable(lambda: self.channel.connect())
        send = self._or_unreachable(lambda: connection.__enter__())
        try:
            yield lambda payload: self._of_type(SendResult, lambda: send(payload))
        finally:
            self._close(connection)

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        return list(map(str, self._or_unreachable(self.channel.reach)))

    def check(self) -> list[str]:
        """Try the destination without patient data. Raises UnreachableError."""
        return list(map(str, self._or_unreachable(self.channel.check)))

    def _close(self, connection: AbstractContextManager[Send]) -> None:
        try:
            self.calls.run(lambda: connection.__exit__(None, None, None))
        except Exception as error:  # the edge: foreign code; what was sent counts all the same
            logger.warning("the channel %s does not close its connection: %s", self.plugin, where_raised(error))

    def _or_unreachable(self, call: Callable[[], T]) -> T:
        try:
            return self.calls.run(call)
        except UnreachableError:
            raise
        except PluginFaultError as error:
            raise UnreachableError(str(error)) from error
        except Exception as error:  # the edge: foreign code
            raise UnreachableError(f"{self.plugin} fails: {where_raised(error)}") from error

    def _of_type(self, kind: type[T], call: Callable[[], object]) -> T:
        value = self.calls.run(call)
        if not isinstance(value, kind):
            raise PluginFaultError(f"{self.plugin} returns {type(value).__name__}, and not {kind.__name__}")
        return value
