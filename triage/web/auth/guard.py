"""The guard of every route: it identifies the caller, checks the role and has the request audited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from triage.errors import TriageError
from triage.web.auth.auditing import Auditing, NoAuditing
from triage.web.auth.caller import set_caller
from triage.web.auth.route_rules import Rule
from triage.web.auth.sign_in import SignIn


class NoRuleError(TriageError, LookupError):
    """A route has no rule: add one to triage/web/auth/route_rules.py."""


@dataclass(frozen=True)
class AccessControl:
    """The sign-in method and the audit of requests."""

    sign_in: SignIn
    auditing: Auditing = field(default_factory=NoAuditing)


def guarded(routes: Iterable[Route], rules: Mapping[str, Rule], access: AccessControl) -> list[Route]:
    """Return the routes behind the guard. Raises NoRuleError for a method and path without a rule."""
    return [_guarded(route, rules, access) for route in routes]


def rule_names(route: Route) -> list[str]:
    """Return the names of a route in the rules. HEAD follows the rule for GET."""
    return [f"{method} {route.path}" for method in sorted(route.methods or ()) if method != "HEAD"]


def _guarded(route: Route, rules: Mapping[str, Rule], access: AccessControl) -> Route:
    names = rule_names(route)
    if not names or not all(name in rules for name in names):
        raise NoRuleError(f"{' and '.join(names) or route.path}: add its access rule to triage/web/auth/route_rules.py")
    by_method = {name.partition(" ")[0]: rules[name] for name in names}
    middleware = [Middleware(Guard, rules=by_method, access=access)]
    return Route(route.path, route.endpoint, methods=route.methods, name=route.name, middleware=middleware)


@dataclass(frozen=True)
class Guard:
    """Middleware of one route: admits requests as its rules say."""

    app: ASGIApp
    rules: Mapping[str, Rule]
    access: AccessControl

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it with 401 or 403."""
        rule = self.rules["GET" if scope["method"] == "HEAD" else scope["method"]]
        if rule.needs is None:
            await self.app(scope, receive, send)
            return
        caller = await self.access.sign_in.identify(scope)
        if not caller.user.role.may(rule.needs):
            await self.access.auditing.restricted(caller, scope)
            raise HTTPException(403, f"this needs the role {rule.needs}")
        set_caller(scope, caller)
        await self.access.auditing.wrap(self.app, caller, rule)(scope, receive, send)
