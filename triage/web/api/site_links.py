"""Links from a study to the site's own viewer and RIS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from triage.decision.reasons import Reason
from triage.decision.types import TriageDecision
from triage.runtime.address_template import AddressTemplate
from triage.settings.sections.web import WebSettings
from triage.spool.patient import patient_of
from triage.spool.store import Store
from triage.worklist.listed_study import ListedStudy


@dataclass(frozen=True)
class SiteLinks:
    """The addresses of the settings, by name: ``viewer``, ``ris``."""

    templates: dict[str, AddressTemplate] = field(default_factory=dict)

    def of_listed(self, study: ListedStudy) -> dict[str, object]:
        """Return the field ``links`` of a listed study, to be added to its JSON; nothing where no address is set.

        An address is None for a study that lacks a value, or whose patient the list does not know yet, and where the
        value is that of one of several patients.
        """
        return self._of(study.decision.study_instance_uid, study.decision, lambda: study.facts.patient_id)

    def of(self, spool: Store, study_instance_uid: str, decision: TriageDecision | None) -> dict[str, object]:
        """Return the field ``links`` of any study, as ``of_listed`` does.

        The study's objects are opened only if an address needs the patient.
        """
        return self._of(study_instance_uid, decision, lambda: _patient_id(spool, study_instance_uid))

    def _of(
        self, study_instance_uid: str, decision: TriageDecision | None, patient_id: Callable[[], str]
    ) -> dict[str, object]:
        if not self.templates:
            return {}
        values = {"StudyInstanceUID": study_instance_uid}
        if decision is not None and Reason.PATIENT_MISMATCH not in decision.reasons:
            values["AccessionNumber"] = decision.accession_number
            if any("PatientID" in each.fields for each in self.templates.values()):
                values["PatientID"] = patient_id()
        return {"links": {name: template.filled(values) for name, template in self.templates.items()}}


def _patient_id(spool: Store, study_instance_uid: str) -> str:
    try:
        return patient_of(spool, study_instance_uid).patient_id
    except (OSError, ValueError, KeyError, TypeError):  # the study's page says what is wrong with it
        return ""


def site_links(settings: WebSettings) -> SiteLinks:
    """Return the links of the settings."""
    given = {"viewer": settings.viewer_url, "ris": settings.ris_url}
    return SiteLinks({name: AddressTemplate.parse(text) for name, text in given.items() if text})
