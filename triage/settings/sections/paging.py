"""Settings of paging: the reading rota is told of a raised study that no reader has opened."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, field_validator, model_validator

from triage.paging.chat import ChatTemplate
from triage.paging.quiet_hours import QuietHours
from triage.setting_types import LOOPBACK_NAMES, MailAddress, OptionalPath, Section


def _zone(name: str) -> str:
    if name:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone of this machine, as Europe/Berlin") from error
    return name


def _template(text: str) -> str:
    ChatTemplate.parse(text)
    return text


_Clock = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")]


class PagingSettings(Section):
    """Pages to the reading rota about raised studies that are not read; off by default.

    It takes the place of no procedure for critical results.
    """

    after_minutes: float = Field(
        0.0,
        ge=0,
        le=1440,
        description="Minutes from the raise of a study (abnormal, no prior) to a page, if no reader opens it. 0: no "
        "paging. Start work, deliver and web again.",
    )
    repeat_minutes: float = Field(
        30.0,
        ge=1,
        le=1440,
        description="Minutes from a page, or from when a reader opened or acknowledged the study, to the next one: it "
        "goes on until the study is read.",
    )
    urgencies: tuple[Literal["critical", "urgent"], ...] = Field(
        ("critical", "urgent"),
        min_length=1,
        description="Urgencies, by decision.urgency, of the studies that are paged.",
    )
    cap_per_hour: int = Field(
        20, ge=1, le=1000, description="Pages in any hour; more wait, and page, alert and metric say how many."
    )
    mail_to: tuple[MailAddress, ...] = Field((), description="Mail addresses of the reading rota, and of no referrer.")
    chat_url: SecretStr = Field(
        SecretStr(""), description="Incoming webhook (https) of the reading rota's chat: a secret."
    )
    quiet_from: _Clock = Field(
        "", description="Time of day, as 22:00, from which the quiet rota is paged instead; empty: never."
    )
    quiet_to: _Clock = Field(
        "", description="Time of day at which that ends; over midnight where it is the earlier one."
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        "", description="Time zone of quiet hours and of times in pages, as Europe/Berlin; empty: UTC."
    )
    quiet_mail_to: tuple[MailAddress, ...] = Field((), description="Mail addresses of the quiet rota.")
    quiet_chat_url: SecretStr = Field(SecretStr(""), description="Incoming webhook of the quiet rota's chat: a secret.")
    chat_template: Annotated[str, AfterValidator(_template)] = Field(
        '{"text": "{text}"}',
        description="JSON that is posted to a chat, with {text} in it, and {title}, {finding}, {ppv}, "
        "{accession_number}, {address} or {number} where wanted.",
    )
    chat_ca_file: OptionalPath = Field(
        None, description="Authorities that the chat's certificate is checked against (PEM); empty: the system's."
    )
    chat_timeout_s: float = Field(20.0, gt=0, le=120, description="Seconds for the whole exchange with a chat.")
    identifies: Literal["link", "accession_number", "patient_name"] = Field(
        "accession_number",
        description="How a page names its study: link: by its address alone; accession_number: with that number, too; "
        "patient_name: with the patient's name, too. It crosses the mail server and the chat.",
    )
    page_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description="Address of the worklist page as readers have it, for a link in pages; empty: no link.",
    )

    @field_validator("chat_url", "quiet_chat_url")
    @classmethod
    def _is_secure(cls, url: SecretStr) -> SecretStr:
        """The message says nothing of the address, which is a secret."""
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES)
            ok = not text or (secure and bool(parts.hostname) and parts.port != 0 and text.isascii())
        except ValueError:
            ok = False
        if not ok or any(each.isspace() for each in text):
            raise ValueError("the webhook of a chat is an https address")
        return url

    @model_validator(mode="after")
    def _rotas_have_addresses(self) -> Self:
        quiet = bool(self.quiet_from or self.quiet_to)
        if bool(self.quiet_from) != bool(self.quiet_to):
            raise ValueError("quiet_from and quiet_to need each other")
        if quiet and self.quiet_from == self.quiet_to:
            raise ValueError("quiet_from and quiet_to are the same: leave both out, or say other hours")
        if quiet and not self.time_zone:
            raise ValueError("quiet_from needs time_zone, as Europe/Berlin")
        if not quiet and self._reaches(quiet=True):
            raise ValueError("quiet_mail_to and quiet_chat_url need quiet_from and quiet_to")
        if self.on and not self._reaches(quiet=False):
            raise ValueError("after_minutes needs mail_to or chat_url: the rota has no address")
        if self.on and quiet and not self._reaches(quiet=True):
            raise ValueError(
                "quiet_from needs quiet_mail_to or quiet_chat_url: quiet hours redirect pages, and drop none"
            )
        if self.on and self.identifies == "link" and not self.page_url:
            raise ValueError("identifies = link needs page_url")
        return self

    def _reaches(self, *, quiet: bool) -> bool:
        mail, chat = (self.quiet_mail_to, self.quiet_chat_url) if quiet else (self.mail_to, self.chat_url)
        return bool(mail or chat.get_secret_value())

    @property
    def on(self) -> bool:
        """True if the rota is paged."""
        return self.after_minutes > 0

    @property
    def needs_mail(self) -> bool:
        """True if pages go by mail."""
        return self.on and bool(self.mail_to or self.quiet_mail_to)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone or "UTC")

    @property
    def quiet_hours(self) -> QuietHours | None:
        """The quiet hours; None if there are none."""
        if not self.quiet_from:
            return None
        return QuietHours(time.fromisoformat(self.quiet_from), time.fromisoformat(self.quiet_to), self.zone)
