"""Audited requests: a view is recorded before it is sent, an act before it is done and again with its outcome."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.metrics.labels import SignInOutcome
from triage.security.audit_message import LOGIN, LOGOUT, AuditOutcome, Participant
from triage.security.audit_trail import AuditError
from triage.web.auth.audit import AuditRecorder
from triage.web.auth.caller import Caller, call_before_act, query_of, study_of
from triage.web.auth.route_rules import PARTS, Rule, Trace
from triage.web.auth.sign_in_event import SignInEvent
from triage.web.http.problem import problem

_OUTCOMES = {
    SignInOutcome.ACCEPTED: AuditOutcome.SUCCESS,
    SignInOutcome.REFUSED: AuditOutcome.MINOR_FAILURE,
    SignInOutcome.THROTTLED: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.UNTRUSTED: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.INVALID: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.FAILED: AuditOutcome.SERIOUS_FAILURE,
}


class Auditing(Protocol):
    """The audit trail as the guard and the sign-in pages use it."""

    def wrap(self, app: ASGIApp, caller: Caller, rule: Rule) -> ASGIApp:
        """Return ``app``, with a record of the request where ``rule`` requires one."""
        ...

    async def restricted(self, caller: Caller, scope: Scope) -> None:
        """Record a request that the caller's role does not allow."""
        ...

    def sign_in(self, event: SignInEvent) -> None:
        """Record an attempt to sign in. Waits for the disk."""
        ...

    def sign_out(self, name: str, address: str) -> None:
        """Record a sign-out. Waits for the disk."""
        ...

    def end(self) -> None:
        """Record that this process stops."""
        ...


class NoAuditing:
    """Stands for the audit trail where it is switched off: records nothing."""

    def wrap(self, app: ASGIApp, caller: Caller, rule: Rule) -> ASGIApp:
        """Return ``app`` itself."""
        return app

    async def restricted(self, caller: Caller, scope: Scope) -> None:
        """Record nothing."""

    def sign_in(self, event: SignInEvent) -> None:
        """Record nothing."""

    def sign_out(self, name: str, address: str) -> None:
        """Record nothing."""

    def end(self) -> None:
        """Record nothing."""


@dataclass(frozen=True)
class TrailAuditing:
    """Records requests in an audit trail.

    With ``required``, a view is refused if it cannot be recorded. An act is always refused then. Sign-ins, sign-outs
    and refusals are not: the log and a metric show what is missing, and the views that follow are refused.
    """

    recorder: AuditRecorder
    required: bool = True

    def wrap(self, app: ASGIApp, caller: Caller, rule: Rule) -> ASGIApp:
        """Return ``app``, with a record of the request where ``rule`` requires one."""
        if rule.act is None and rule.trace is Trace.NOTHING:
            return app

        async def audited(scope: Scope, receive: Receive, send: Send) -> None:
            await AuditedResponse(self.recorder, self.required, caller, rule, scope, send).run(app, receive)

        return audited

    async def restricted(self, caller: Caller, scope: Scope) -> None:
        """Record a request that the caller's role does not allow."""
        with suppress(AuditError):
            await run_in_threadpool(self.recorder.restricted, caller, scope["method"], scope["path"])

    def sign_in(self, event: SignInEvent) -> None:
        """Record an attempt to sign in."""
        participant = Participant(event.name, event.address, event.subject)
        with suppress(AuditError):
            self.recorder.authentication(participant, LOGIN, _OUTCOMES[event.outcome])

    def sign_out(self, name: str, address: str) -> None:
        """Record a sign-out."""
        with suppress(AuditError):
            self.recorder.authentication(Participant(name, address), LOGOUT, AuditOutcome.SUCCESS)

    def end(self) -> None:
        """Record that this process stops."""
        self.recorder.trail.end()


@dataclass
class AuditedResponse:
    """One audited request. ``withheld``: its response is replaced; ``intended``: studies of recorded intents."""

    recorder: AuditRecorder
    required: bool
    caller: Caller
    rule: Rule
    scope: Scope
    send: Send
    withheld: bool = False
    intended: set[str] = field(default_factory=set)

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Have ``app`` respond; in the case of an act, after its intent is recorded."""
        try:
            if self.rule.act is not None:
                call_before_act(self.scope, self._intend)
                await run_in_threadpool(self._intend, study_of(self.scope))
            await app(self.scope, receive, self._respond)
        except AuditError as error:
            await self._refuse(error, "it is not done, because it cannot be written to the audit trail")

    def _intend(self, study: str) -> None:
        if self.rule.act is not None and study and study not in self.intended:
            self.recorder.intend(self.caller, study, self.rule.act)
            self.intended.add(study)

    async def _respond(self, message: Message) -> None:
        if self.withheld:
            return
        if message["type"] == "http.response.start":
            try:
                await run_in_threadpool(self._record, message["status"])
            except AuditError as error:
                if self.rule.act is None and self.required:
                    self.withheld = True
                    await self._refuse(error, "it is not shown, because the view cannot be written to the audit trail")
                    return
                # The act is done and its intent is on the disk; the log and a metric show that the outcome is missing.
        await self.send(message)

    def _record(self, status: int) -> None:
        outcome = AuditOutcome.SUCCESS if status < 400 else AuditOutcome.MINOR_FAILURE
        stored, in_address = query_of(self.scope), self.scope["query_string"].decode("latin-1")
        if self.rule.act is not None:
            self.recorder.act(self.caller, study_of(self.scope), self.rule.act, outcome)
        elif self.rule.trace is Trace.VIEW:
            self.recorder.view(self.caller, study_of(self.scope), outcome)
        elif stored or any(value for name, value in parse_qsl(in_address) if name not in PARTS):
            self.recorder.search(self.caller, self.scope["path"], stored or in_address, outcome)

    async def _refuse(self, error: AuditError, reason: str) -> None:
        response = problem(503, f"{reason} ({error}): tell the administrator")

        async def disconnected() -> Message:
            return {"type": "http.disconnect"}

        await response(self.scope, disconnected, self.send)
