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
