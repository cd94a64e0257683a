"""At the door of every route: who asks, whether the role allows it, and lines in the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.security.audit_message import AuditOutcome
from triage.security.audit_trail import AuditError
from triage.web.auth.audit import Auditor
from triage.web.auth.caller import Caller, admit, before_an_act, query_of, study_of
from triage.web.auth.route_rules import PARTS, Rule, Trace
from triage.web.auth.sign_in import SignIn
from triage.web.http.problem import problem


class NoRuleError(LookupError):
    """A route of which nobody has said who may ask for it."""


@dataclass(frozen=True)
class Entrance:
    """How people come in, and what is written down. ``required``: what cannot be written down is not shown."""

    sign_in: SignIn
    auditor: Auditor | None = None
    required: bool = True


def guarded(routes: Iterable[Route], rules: Mapping[str, Rule], entrance: Entrance) -> list[Route]:
    """The same routes behind the guard. Raises NoRuleError for one that has no rule, by method and path."""
    return [_guarded(route, rules, entrance) for route in routes]


def rule_names(route: Route) -> list[str]:
    """A route's names among the rules. HEAD goes by the rule for GET."""
    return [f"{method} {route.path}" for method in sorted(route.methods or ()) if method != "HEAD"]


def _guarded(route: Route, rules: Mapping[str, Rule], entrance: Entrance) -> Route:
    names = rule_names(route)
    if not names or not all(name in rules for name in names):
        raise NoRuleError(
            f"{' and '.join(names) or route.path}: say in triage/web/auth/route_rules.py who may ask for it"
        )
    by_method = {name.partition(" ")[0]: rules[name] for name in names}
    middleware = [Middleware(Guard, rules=by_method, entrance=entrance)]
    return Route(route.path, route.endpoint, methods=route.methods, name=route.name, middleware=middleware)


@dataclass(frozen=True)
class Guard:
    """Lets one route's requests through as its rules say."""

    app: ASGIApp
    rules: Mapping[str, Rule]
    entrance: Entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self.rules["GET" if scope["method"] == "HEAD" else scope["method"]]
        if rule.needs is None:
            await self.app(scope, receive, send)
            return
        caller = await self.entrance.sign_in.identify(scope)
        if not caller.user.role.may(rule.needs):
            await self._refuse(caller, rule, scope)
        admit(scope, caller)
        if self.entrance.auditor is not None and (rule.act is not None or rule.trace is not Trace.NOTHING):
            await AuditedResponse(self.entrance.auditor, self.entrance.required, caller, rule, scope, send).run(
                self.app, receive
            )
            return
        await self.app(scope, receive, send)

    async def _refuse(self, caller: Caller, rule: Rule, scope: Scope) -> None:
        if self.entrance.auditor is not None:
            with suppress(AuditError):  # it is refused in any case, and the log and the metric say what is missing
                await run_in_threadpool(self.entrance.auditor.restricted, caller, scope["method"], scope["path"])
        raise HTTPException(403, f"this needs the role {rule.needs}")


@dataclass
class AuditedResponse:
    """One request of which the audit trail is told: of an act before it is done, and what came of it; of a look when
    its answer is ready and before any of it is sent.
    """

    auditor: Auditor
    required: bool
    caller: Caller
    rule: Rule
    scope: Scope
    send: Send
    withheld: bool = False
    intended: set[str] = field(default_factory=set)

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Have ``app`` answer; of an act, not before it is written down what is about to be done."""
        try:
            if self.rule.act is not None:
                before_an_act(self.scope, self._intend)
                await run_in_threadpool(self._intend, study_of(self.scope))
            await app(self.scope, receive, self._answer)
        except AuditError as error:
            await self._instead(error, "it is not done, because it cannot be written to the audit trail")

    def _intend(self, study: str) -> None:
        if self.rule.act is not None and study and study not in self.intended:
            self.auditor.intend(self.caller, study, self.rule.act)
            self.intended.add(study)

    async def _answer(self, message: Message) -> None:
        if self.withheld:
            return
        if message["type"] == "http.response.start":
            try:
                await run_in_threadpool(self._tell, message["status"])
            except AuditError as error:
                if self.rule.act is None and self.required:
                    self.withheld = True
                    await self._instead(error, "it is not shown, because the look cannot be written to the audit trail")
                    return
                # An act is done: that it was about to be is on the disk, and the log and a metric say what is missing.
        await self.send(message)

    def _tell(self, status: int) -> None:
        outcome = AuditOutcome.SUCCESS if status < 400 else AuditOutcome.MINOR_FAILURE
        asked, address = query_of(self.scope), self.scope["query_string"].decode("latin-1")
        if self.rule.act is not None:
            self.auditor.act(self.caller, study_of(self.scope), self.rule.act, outcome)
        elif self.rule.trace is Trace.LOOK:
            self.auditor.look(self.caller, study_of(self.scope), outcome)
        elif asked or any(value for name, value in parse_qsl(address) if name not in PARTS):
            self.auditor.search(self.caller, self.scope["path"], asked or address, outcome)

    async def _instead(self, error: AuditError, what: str) -> None:
        answer = problem(503, f"{what} ({error}): tell the administrator")

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await answer(self.scope, nothing, self.send)
