"""All settings in one model."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from triage.channels.secondary_capture.settings import SecondaryCaptureDestination
from triage.listener.settings import ListenerSettings
from triage.setting_types import Section
from triage.settings.access import AuditSettings, SignInSettings
from triage.settings.destinations import ChannelsSettings
from triage.settings.network import ClientSettings, WebSettings
from triage.settings.oidc import OidcSettings
from triage.settings.reports import ReportsSettings
from triage.settings.sections import (
    CanarySettings,
    DataSettings,
    DecisionSettings,
    DeliverSettings,
    EligibilitySettings,
    LogSettings,
    ModelSettings,
    RedisSettings,
    SpoolSettings,
    SweepSettings,
    WorkerSettings,
    WorklistSettings,
)


class Settings(Section):
    """Every setting there is."""

    data: DataSettings = DataSettings()
    spool: SpoolSettings = SpoolSettings()
    listener: ListenerSettings = ListenerSettings()
    client: ClientSettings = ClientSettings()
    redis: RedisSettings = RedisSettings()
    worker: WorkerSettings = WorkerSettings()
    models: ModelSettings = ModelSettings()
    eligibility: EligibilitySettings = EligibilitySettings()
    decision: DecisionSettings = DecisionSettings()
    worklist: WorklistSettings = WorklistSettings()
    web: WebSettings = WebSettings()
    canary: CanarySettings = CanarySettings()
    sign_in: SignInSettings = SignInSettings()
    oidc: OidcSettings = OidcSettings()
    audit: AuditSettings = AuditSettings()
    sweep: SweepSettings = SweepSettings()
    deliver: DeliverSettings = DeliverSettings()
    reports: ReportsSettings = ReportsSettings()
    channels: ChannelsSettings = ChannelsSettings()
    log: LogSettings = LogSettings()

    @property
    def keeps_activation_maps(self) -> bool:
        """Whether something shows activation maps, so that workers have to keep them."""
        return self.web.activation_map or bool(self.channels.of_type(SecondaryCaptureDestination))

    @property
    def client_certificate(self) -> tuple[Path, Path] | None:
        """Our certificate and its key, for who asks for one and is no destination; None if there is none."""
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
