"""All settings in one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import model_validator

from triage.channels.secondary_capture.settings import SecondaryCaptureDestination
from triage.listener.settings import ListenerSettings
from triage.setting_types import Section
from triage.settings.sections.adjudication import AdjudicationSettings
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.canary import CanarySettings
from triage.settings.sections.channels import ChannelsSettings
from triage.settings.sections.client import ClientSettings
from triage.settings.sections.data import DataSettings
from triage.settings.sections.decision import DecisionSettings
from triage.settings.sections.deliver import DeliverSettings
from triage.settings.sections.eligibility import EligibilitySettings
from triage.settings.sections.log import LogSettings
from triage.settings.sections.models import ModelSettings
from triage.settings.sections.oidc import OidcSettings
from triage.settings.sections.open_inference import OpenInferenceSettings
from triage.settings.sections.paging import PagingSettings
from triage.settings.sections.plugins import PluginSettings
from triage.settings.sections.postgres import PostgresSettings
from triage.settings.sections.redis import RedisSettings
from triage.settings.sections.reports import ReportsSettings
from triage.settings.sections.s3 import S3Settings
from triage.settings.sections.sign_in import SignInSettings
from triage.settings.sections.smtp import SmtpSettings
from triage.settings.sections.spool import SpoolSettings
from triage.settings.sections.store import StoreSettings
from triage.settings.sections.sweep import SweepSettings
from triage.settings.sections.web import WebSettings
from triage.settings.sections.worker import WorkerSettings
from triage.settings.sections.worklist import WorklistSettings

PROCESSES = ("listen", "work", "sweep", "deliver", "reports", "web")
"""The processes of the service, in the order of a study's way."""


@dataclass(frozen=True)
class ReadBy:
    """The processes that read a section, for docs/reference/settings.md; commands may read it too."""

    processes: tuple[str, ...]


def read_by(*processes: str) -> ReadBy:
    """Declare the processes that read a section; tests/settings/test_readers.py compares them with the code."""
    return ReadBy(processes)


class Settings(Section):
    """All sections of the settings."""

    data: Annotated[DataSettings, read_by(*PROCESSES)] = DataSettings()
    spool: Annotated[SpoolSettings, read_by(*PROCESSES)] = SpoolSettings()
    store: Annotated[StoreSettings, read_by(*PROCESSES)] = StoreSettings()
    postgres: Annotated[PostgresSettings, read_by(*PROCESSES)] = PostgresSettings()
    s3: Annotated[S3Settings, read_by(*PROCESSES)] = S3Settings()
    listener: Annotated[ListenerSettings, read_by("listen", "work", "sweep", "reports", "web")] = ListenerSettings()
    client: Annotated[ClientSettings, read_by("sweep")] = ClientSettings()
    redis: Annotated[RedisSettings, read_by("listen", "work", "sweep", "reports", "web")] = RedisSettings()
    worker: Annotated[WorkerSettings, read_by("work")] = WorkerSettings()
    models: Annotated[ModelSettings, read_by("work", "deliver", "web")] = ModelSettings()
    open_inference: Annotated[OpenInferenceSettings, read_by("work")] = OpenInferenceSettings()
    plugins: Annotated[PluginSettings, read_by("work", "deliver")] = PluginSettings()
    eligibility: Annotated[EligibilitySettings, read_by("work")] = EligibilitySettings()
    decision: Annotated[DecisionSettings, read_by("listen", "work", "sweep", "web")] = DecisionSettings()
    worklist: Annotated[WorklistSettings, read_by("work", "sweep", "web")] = WorklistSettings()
    web: Annotated[WebSettings, read_by("work", "web")] = WebSettings()
    canary: Annotated[CanarySettings, read_by("listen", "sweep")] = CanarySettings()
    sign_in: Annotated[SignInSettings, read_by("work", "deliver", "web")] = SignInSettings()
    oidc: Annotated[OidcSettings, read_by("web")] = OidcSettings()
    audit: Annotated[AuditSettings, read_by("work", "deliver", "web")] = AuditSettings()
    sweep: Annotated[SweepSettings, read_by("sweep")] = SweepSettings()
    deliver: Annotated[DeliverSettings, read_by("deliver")] = DeliverSettings()
    reports: Annotated[ReportsSettings, read_by("reports")] = ReportsSettings()
    channels: Annotated[ChannelsSettings, read_by("work", "sweep", "deliver", "reports")] = ChannelsSettings()
    adjudication: Annotated[AdjudicationSettings, read_by("work", "sweep", "web")] = AdjudicationSettings()
    paging: Annotated[PagingSettings, read_by("work", "deliver", "web")] = PagingSettings()
    smtp: Annotated[SmtpSettings, read_by("deliver")] = SmtpSettings()
    log: Annotated[LogSettings, read_by(*PROCESSES)] = LogSettings()

    @property
    def keeps_activation_maps(self) -> bool:
        """True if the page or a destination shows activation maps, so that workers have to keep them."""
        return self.web.activation_map or bool(self.channels.of_type(SecondaryCaptureDestination))

    @property
    def client_certificate(self) -> tuple[Path, Path] | None:
        """Our certificate and its key for peers that request one and are no destination; None if there is none."""
        if self.client.tls_certificate and self.client.tls_key:
            return self.client.tls_certificate, self.client.tls_key
        shown = self.channels.certificates()
        return shown[0] if len(shown) == 1 else None

    @model_validator(mode="after")
    def _lowering_needs_a_cap(self) -> Self:
        if self.decision.lower_normal and not self.worklist.waiting_cap_s:
            raise ValueError(
                "decision.lower_normal needs worklist.waiting_cap_s: without a cap a LOW study may wait forever"
            )
        return self

    @model_validator(mode="after")
    def _the_store_is_known(self) -> Self:
        missing = [*self.postgres.missing, *self.s3.missing]
        if self.store.kind == "postgres+s3" and missing:
            raise ValueError(f"store.kind = postgres+s3 needs {', '.join(missing)}")
        if self.store.kind == "files" and (self.postgres.host or self.s3.endpoint):
            raise ValueError("postgres and s3 are set, and store.kind = files uses neither: set store.kind")
        return self

    @model_validator(mode="after")
    def _mail_has_a_server(self) -> Self:
        if self.paging.needs_mail and not (self.smtp.host and self.smtp.sender and self.smtp.port):
            raise ValueError("paging.mail_to needs smtp.host, smtp.port and smtp.sender")
        return self

    @model_validator(mode="after")
    def _the_provider_is_known(self) -> Self:
        if self.sign_in.method == "oidc" and self.oidc.missing:
            raise ValueError(f"sign_in.method = oidc needs {', '.join(self.oidc.missing)}")
        return self

    @model_validator(mode="after")
    def _the_canary_is_no_validation(self) -> Self:
        if self.canary.ae_title == self.listener.validation_ae_title:
            raise ValueError("canary.ae_title and listener.validation_ae_title must differ")
        return self

    @model_validator(mode="after")
    def _the_canary_is_heard(self) -> Self:
        asked = self.listener.tls_only and self.listener.tls_client_ca
        if self.canary.interval_minutes and asked and self.client_certificate is None:
            raise ValueError(
                "canary.interval_minutes: the listener takes only clients with a certificate (listener.tls_client_ca); "
                "set client.tls_certificate and client.tls_key to one of those authorities"
            )
        return self
