"""Studies that began in silent operation are hidden from readers (ADR 51)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from triage.dicom.uid import InvalidUIDError
from triage.spool.store import Store
from triage.web.auth.caller import Role, user_of


def refuse_silent(spool: Store, request: Request) -> None:
    """Raise HTTPException 404 for a reader's request for a silent study; an admin may see it."""
    if user_of(request).role is Role.ADMIN:
        return
    uid = request.path_params["study_instance_uid"]
    try:
        decision = spool.decision(uid)
    except InvalidUIDError:
        return  # the route itself refuses it
    if decision and decision.get("silent"):
        raise HTTPException(404, f"no tagged study has the Study Instance UID {uid}")
