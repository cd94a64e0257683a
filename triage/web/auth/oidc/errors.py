"""Reasons why a sign-in at the identity provider failed: a code for the page, a message for the log."""

from __future__ import annotations

from enum import StrEnum

from triage.errors import TriageError
from triage.metrics.labels import SignInOutcome


class SignInProblem(StrEnum):
    """Reason of a failed sign-in, as the query parameter of the sign-in page."""

    STALE = "stale"  # no attempt of this browser, or an older one
    DENIED = "denied"  # the provider refused
    INVALID = "invalid"  # the provider's response is not valid
    UNREACHABLE = "unreachable"
    CROWDED = "crowded"
    NOT_ASKED = "not-asked"  # the provider did not ask again, which the idle lock needs
    NO_NAME = "no-name"
    NO_ROLE = "no-role"
    NOT_SAVED = "not-kept"  # the session could not be saved
    PLAIN_HTTP = "plain-http"


PAGE_MESSAGES = {
    SignInProblem.STALE: "This took too long, or began in another window: sign in again.",
    SignInProblem.DENIED: "The identity provider did not let you in.",
    SignInProblem.INVALID: "The response of the identity provider is not valid, and you are not signed in: tell "
    "the administrator if it happens again.",
    SignInProblem.UNREACHABLE: "The identity provider is not available: try again, and tell the "
    "administrator if it goes on.",
    SignInProblem.CROWDED: "Too many attempts to sign in: try again.",
    SignInProblem.NOT_ASKED: "This workstation locks itself, and the identity provider did not ask again who you "
    "are: sign in again, and tell the administrator if it goes on.",
    SignInProblem.NO_NAME: "The identity provider does not send your name as expected: tell the administrator.",
    SignInProblem.NO_ROLE: "You have no role here: ask the administrator for one.",
    SignInProblem.NOT_SAVED: "You cannot be signed in, because your session cannot be saved: tell the administrator.",
    SignInProblem.PLAIN_HTTP: "Over plain HTTP others can take over your session: open this page by https.",
}
_OUTCOMES = {
    SignInProblem.NOT_ASKED: SignInOutcome.REFUSED,
    SignInProblem.NO_NAME: SignInOutcome.REFUSED,
    SignInProblem.NO_ROLE: SignInOutcome.REFUSED,
    SignInProblem.UNREACHABLE: SignInOutcome.FAILED,
    SignInProblem.NOT_SAVED: SignInOutcome.FAILED,
    SignInProblem.CROWDED: SignInOutcome.THROTTLED,
}


class NotSignedInError(TriageError):
    """A sign-in failed. ``problem`` is for the page; the message is for the log and quotes no stranger."""

    def __init__(self, problem: SignInProblem, message: str, name: str = "", subject: str = "") -> None:
        """Set the reason; ``name`` and ``subject`` of the user, where they are known."""
        super().__init__(message)
        self.problem, self.name, self.subject = problem, name, subject

    @property
    def outcome(self) -> SignInOutcome:
        """Outcome for the audit trail and the metric."""
        return _OUTCOMES.get(self.problem, SignInOutcome.INVALID)


def unreachable(message: str) -> NotSignedInError:
    """Return the error of a provider that does not respond as it should."""
    return NotSignedInError(SignInProblem.UNREACHABLE, message)


def invalid(message: str) -> NotSignedInError:
    """Return the error of a response that is not valid."""
    return NotSignedInError(SignInProblem.INVALID, message)
