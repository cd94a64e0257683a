"""Why somebody is not signed in: for the page a word of a closed list, for the log what happened."""

from __future__ import annotations

from enum import StrEnum

from triage.metrics.labels import SignInOutcome


class Wrong(StrEnum):
    """What the page says, as a word in its address."""

    STALE = "stale"  # no attempt of this browser, or another one
    DENIED = "denied"  # the provider says so
    INVALID = "invalid"  # what came of the provider does not hold
    UNREACHABLE = "unreachable"
    CROWDED = "crowded"
    NO_NAME = "no-name"
    NO_ROLE = "no-role"
    NOT_KEPT = "not-kept"  # the session could not be written
    PLAIN_HTTP = "plain-http"


WORDS = {
    Wrong.STALE: "This took too long, or began in another window: sign in again.",
    Wrong.DENIED: "The identity provider did not let you in.",
    Wrong.INVALID: "What the identity provider answered does not hold, and you are not signed in: tell the "
    "administrator if it happens again.",
    Wrong.UNREACHABLE: "The identity provider does not answer as it should: try again, and tell the administrator if "
    "it goes on.",
    Wrong.CROWDED: "Too many sign in at once: try again.",
    Wrong.NO_NAME: "The identity provider does not say your name as it is expected here: tell the administrator.",
    Wrong.NO_ROLE: "You have no role here: ask the administrator for one.",
    Wrong.NOT_KEPT: "You cannot be signed in, because your session cannot be kept: tell the administrator.",
    Wrong.PLAIN_HTTP: "Over plain HTTP others can take up your session: ask for this page by https.",
}
_OUTCOMES = {
    Wrong.NO_NAME: SignInOutcome.REFUSED,
    Wrong.NO_ROLE: SignInOutcome.REFUSED,
    Wrong.UNREACHABLE: SignInOutcome.FAILED,
    Wrong.NOT_KEPT: SignInOutcome.FAILED,
    Wrong.CROWDED: SignInOutcome.THROTTLED,
}


class NotSignedInError(Exception):
    """``wrong`` is for the page; the message is for the log, and has nothing that a stranger wrote."""

    def __init__(self, wrong: Wrong, message: str, name: str = "", subject: str = "") -> None:
        """``name`` and ``subject``: who it is, where that was found out."""
        super().__init__(message)
        self.wrong, self.name, self.subject = wrong, name, subject

    @property
    def outcome(self) -> SignInOutcome:
        """What the audit trail and the metric say."""
        return _OUTCOMES.get(self.wrong, SignInOutcome.INVALID)


def unreachable(message: str) -> NotSignedInError:
    """The provider did not answer as it should."""
    return NotSignedInError(Wrong.UNREACHABLE, message)


def invalid(message: str) -> NotSignedInError:
    """It answered, and the answer does not hold."""
    return NotSignedInError(Wrong.INVALID, message)
