"""Settings of the HTTP port."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from triage.runtime.address_template import AddressTemplate
from triage.setting_types import Port, Section


def _address(text: str) -> str:
    if text:
        AddressTemplate.parse(text)
    return text


_StudyAddress = Annotated[str, AfterValidator(_address)]


class WebSettings(Section):
    """Worklist page and API over HTTP."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Anywhere but on loopback people must sign in (sign_in.method), or the "
        "service does not start.",
    )
    names: tuple[str, ...] = Field(
        (),
        description="Names by which people and a reverse proxy ask for us (in the page's address, and in the Host "
        "header), besides loopback's. Empty: loopback's only on loopback, and any elsewhere. A page whose name is "
        "neither the Host header's nor one of these may change nothing.",
    )
    max_connections: int = Field(
        500,
        ge=4,
        description="HTTP connections at once, or as many as file descriptors allow. Beyond them the oldest that waits "
        "for nothing of ours is closed.",
    )
    max_connections_per_address: int = Field(
        100,
        ge=4,
        description="HTTP connections at once from one address (IPv6: one /64). Behind a proxy of "
        "sign_in.trusted_proxies: requests at once of one client that it names in X-Forwarded-For.",
    )
    port: Port = Field(8080, description="HTTP port of the worklist page, its API, health and metrics.")
    activation_map: bool = Field(
        False,
        description="Keep the activation map of each score from now on, and offer it over the image on the page, where "
        "the model's card states a pointing game that beats chance. It shows what drew the score and outlines no "
        "finding; where localisation is regulated apart from triage, leave it off.",
    )
    patient_names: bool = Field(
        True,
        description="Show patients' names on the page. False: neither the list nor a study names a patient or a "
        "referrer there, for screens that others can see; IDs stay, and a search by name still finds.",
    )
    language: Literal["auto", "en", "de"] = Field(
        "auto",
        description="Language of the pages, for users who have chosen none there: English, German, or auto, that of "
        "their browser if it is one of these, else English. Results and messages to other systems stay in English.",
    )
    idle_lock_minutes: float = Field(
        0.0,
        ge=0,
        description="Minutes without input until the page is locked: patients leave the screen, and the session "
        "answers nothing until its user signs in again. For workstations that people share; needs sign_in.method users "
        "or oidc. 0: off.",
    )
    ups: bool = Field(
        False,
        description="Serve the worklist as UPS-RS workitems at /workitems: it names patients, and lets clients write.",
    )
    ups_worklist_label: str = Field(
        "CXR triage", min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$", description="Worklist Label (0074,1202)."
    )
    viewer_url: _StudyAddress = Field(
        "",
        description="Address of a study in your viewer, for a link in the list and on the study's page: a template "
        "with {StudyInstanceUID}, {AccessionNumber} or {PatientID}, whose values are percent-encoded. Empty: no link.",
    )
    ris_url: _StudyAddress = Field("", description="The same for your RIS.")
