"""What began silent is nobody's to read: to a reader such a study is not here (ADR 51)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from triage.dicom.uid import InvalidUIDError
from triage.spool.spool import Spool
from triage.web.auth.caller import Role, user_of


def refuse_silent(spool: Spool, request: Request) -> None:
    """HTTPException 404 for a reader who asks for a silent study; an admin looks at what is tried out."""
    if user_of(request).role is Role.ADMIN:
        return
    uid = request.path_params["study_instance_uid"]
    try:
        decision = spool.decision(uid)
    except InvalidUIDError:
        return  # whoever answers says so
    if decision and decision.get("silent"):
        raise HTTPException(404, f"no tagged study has the Study Instance UID {uid}")
