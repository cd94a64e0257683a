"""One validated settings object, from a TOML file and TRIAGE_... variables. Unknown keys are errors.

Sections are TOML tables. The variable of a setting is TRIAGE_<SECTION>_<KEY>, and wins over the file. Only ``cli.py``
reads the environment; everything else is handed the values it needs.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, model_validator

from triage.decision.decide import Priority
from triage.settings.access import AuditSettings, SignInSettings
from triage.settings.destinations import ChannelsSettings, Destination
from triage.settings.reports import ReportsSettings
from triage.settings.types import AETitle, Pattern, Port, Section

PREFIX = "TRIAGE_"
NOT_SETTINGS = frozenset({"TRIAGE_DATA", "TRIAGE_CONFIG"})
"""Variables with our prefix that are read elsewhere: sample and test data, and the path of the settings file."""


_IN_THE_FILE_ONLY = "channels"  # lists of tables: no variable could name one


class SettingsError(Exception):
    """The settings cannot be used; the message names every wrong key."""


class SpoolSettings(Section):
    """Where everything durable lies."""

    path: Path = Field(Path("var/spool"), description="Folder of the spool; created with mode 0700.")
    high_water: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Fraction of the file system (bytes or inodes, the fuller) above which C-STORE gets 0xA700.",
    )
    min_free_bytes: int = Field(
        512 * 1024**2,
        ge=0,
        description="C-STORE is refused (0xA700) while fewer bytes are free, whatever the fraction.",
    )
    retention_days: float = Field(
        30.0, ge=0, description="Days after tagging until a finished study is removed; 0 keeps everything."
    )


class ListenerSettings(Section):
    """The DICOM side: C-ECHO and C-STORE."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all IPv4 interfaces.")
    port: Port = Field(11112, description="DICOM port.")
    tls_port: Port | None = Field(
        None, description="A second DICOM port, for TLS; 2762 is the usual one. Empty: there is none."
    )
    tls_only: bool = Field(False, description="Open the port for TLS only, and not `listener.port`.")
    tls_certificate: Path | None = Field(
        None,
        description="Our certificate, and those between it and its authority (PEM). A renewed one is used from the "
        "next connection on.",
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")
    tls_client_ca: Path | None = Field(
        None,
        description="Authorities of the clients that may connect over TLS (PEM); empty: a client needs no certificate.",
    )
    tls_client_crl: Path | None = Field(
        None,
        description="Lists of revoked certificates (CRL, PEM), one of each authority that signs clients' certificates: "
        "revoked ones are refused, and all are when it has expired. A renewed one is used from the next connection on.",
    )
    ae_title: AETitle = Field("CXR_TRIAGE", description="Our AE title.")
    require_called_ae_title: bool = Field(
        False, description="Reject associations that call another AE title than ours."
    )
    calling_ae_titles: tuple[AETitle, ...] = Field(
        (), description="AE titles that may connect, and the only ones that metrics name; empty lets all in."
    )
    validation_ae_title: AETitle | Literal[""] = Field(
        "",
        description="Calling AE title of `triage validate --dicom`: what it sends is scored, and never listed, "
        "delivered or counted. Never one that sends patients; empty switches it off.",
    )
    source_addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks (CIDR) that may connect; empty lets all in."
    )
    processes: int = Field(1, ge=1, le=64, description="Listener processes that share the port.")
    max_associations: int = Field(50, ge=1, description="Associations at once in one process; more are rejected.")
    max_pdu_bytes: int = Field(
        131072, ge=4096, le=1048576, description="Maximum PDU length that we offer to receive, in bytes."
    )
    network_timeout_s: float = Field(
        60.0, gt=0, description="Seconds of silence in an association until it is aborted."
    )
    shutdown_grace_s: float = Field(
        30.0, gt=0, description="Seconds that open associations get to finish after SIGTERM."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(
        9110, description="HTTP port of the first process; each further one takes the next. 0: any."
    )

    @model_validator(mode="after")
    def _validation_is_nobody_s_pacs(self) -> Self:
        if self.validation_ae_title in self.calling_ae_titles:
            raise ValueError("validation_ae_title must not be one of calling_ae_titles: its images are never listed")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_port is not None and not (self.tls_certificate and self.tls_key):
            raise ValueError("tls_port needs tls_certificate and tls_key")
        if self.tls_port is None and (self.tls_only or self.tls_certificate or self.tls_key or self.tls_client_ca):
            raise ValueError("tls_only, tls_certificate, tls_key and tls_client_ca need tls_port")
        if self.tls_client_crl and not self.tls_client_ca:
            raise ValueError("tls_client_crl needs tls_client_ca: without it no client is asked for a certificate")
        return self


class ClientSettings(Section):
    """What we show who asks for a certificate, where no destination's settings say so."""

    tls_certificate: Path | None = Field(
        None,
        description="Certificate (PEM) of the canary, `triage send` and `triage validate --dicom`, for a listener that "
        "asks for one (`listener.tls_client_ca`). Empty: that of the DICOM destinations, if they all show the same.",
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        return self


class RedisSettings(Section):
    """The queue. It holds nothing that the spool does not have."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis:// , rediss:// or unix:// address; empty starts an embedded Redis (triage up only).",
    )
    socket_path: Path = Field(
        Path("var/redis/redis.sock"), description="Unix socket of the embedded Redis; its data lie beside it."
    )
    timeout_s: float = Field(5.0, gt=0, description="Seconds until a silent Redis counts as failed.")


class WorkerSettings(Section):
    """What scores."""

    processes: int = Field(1, ge=1, le=64, description="Worker processes of triage up and triage work.")
    decode_processes: int = Field(0, ge=0, description="Child processes that decode, per worker; 0 is one per core.")
    batch_size: int = Field(16, ge=1, le=256, description="Objects that are taken from the queue at once at most.")
    threads: int = Field(0, ge=0, description="Threads of ONNX Runtime in one worker; 0 is one per core.")
    provider: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where ONNX Runtime computes; cuda fails at start if CUDA is not the first provider."
    )
    decode_timeout_s: float = Field(
        60.0, gt=0, description="Seconds until the decoding of one object counts as failed."
    )
    tries: int = Field(3, ge=1, le=20, description="Attempts at one object until it becomes a dead letter.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(
        9130, description="HTTP port of the first worker; each further one takes the next. 0: any."
    )


class ModelSettings(Section):
    """Which models score, and how."""

    path: Path = Field(Path("models"), description="Folder of the model folders.")
    names: tuple[str, ...] = Field((), description="Model folders to load; empty loads all of them.")
    shadow: tuple[str, ...] = Field((), description="Models that score beside those in service, and change nothing.")
    operating_point: float = Field(0.5, gt=0, lt=1, description="Probability from which an image is ABNORMAL.")
    adult_when_age_unknown: bool = Field(
        False, description="Let the adult model score patients of unknown age; otherwise they are not assessed."
    )
    allow_demo: bool = Field(False, description="Load models marked as demo. Never in clinical use.")


class EligibilitySettings(Section):
    """What a site knows about its images."""

    frontal_descriptions: tuple[Pattern, ...] = Field(
        (),
        description="Regular expressions; an image whose series, protocol or study description matches one, and whose "
        "view no attribute states, is a frontal.",
    )
    frontal_ae_titles: tuple[AETitle, ...] = Field(
        (), description="Calling AE titles that send frontals only, where no attribute states the view."
    )


class DecisionSettings(Section):
    """From tag to priority."""

    baseline_priority: Priority = Field(Priority.MEDIUM, description="Priority of an order that carries none.")
    lower_normal: bool = Field(False, description="Let NORMAL lower the priority to LOW; needs worklist.waiting_cap_s.")
    prior_after_days: float = Field(
        0.0,
        ge=0,
        description="Days between acquisition and receipt from which a study is a prior: tagged, but it raises "
        "nothing, is scored behind all others, and no HL7 is sent. 0: none is. Set it before priors are fetched or an "
        "archive is migrated.",
    )


class WorklistSettings(Section):
    """Reading order."""

    waiting_cap_s: float = Field(
        0.0, ge=0, description="Seconds of waiting after which a study comes before all others; 0 is no cap."
    )
    expire_after_days: float = Field(
        0.0,
        ge=0,
        description="Days after its last result from which a study is listed no longer, read or not; 0: only what was "
        "read leaves the list.",
    )


class WebSettings(Section):
    """The HTTP side."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Anywhere but on loopback people must sign in (sign_in.method), or the "
        "service does not start.",
    )
    names: tuple[str, ...] = Field(
        (),
        description="Names by which a reverse proxy asks for us (the Host header), beside loopback's. Empty: "
        "loopback's only on loopback, and any elsewhere.",
    )
    port: Port = Field(8080, description="HTTP port of the worklist page, its API, health and metrics.")
    activation_map: bool = Field(
        False,
        description="Keep the activation map of each score from now on, and offer it over the image on the page. It "
        "shows what drew the score and outlines no finding; where localisation is regulated apart from triage, leave "
        "it off.",
    )
    ups: bool = Field(
        False,
        description="Serve the worklist as UPS-RS workitems at /workitems: it names patients, and lets clients write.",
    )
    ups_worklist_label: str = Field(
        "CXR triage", min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$", description="Worklist Label (0074,1202)."
    )


class CanarySettings(Section):
    """The generated study that goes the whole way."""

    interval_minutes: float = Field(
        0.0,
        ge=0,
        description="Minutes between two canaries: a generated study, sent to our own DICOM port and delivered to "
        "every destination with canary = true, listed and counted nowhere. 0: only when `triage canary` is called.",
    )
    timeout_s: float = Field(120.0, gt=0, le=3600, description="Seconds in which it has to come out everywhere.")
    ae_title: AETitle = Field(
        "CXR_CANARY", description="AE title that it calls itself; from this machine it is always let in."
    )
    host: str = Field("", description="Where it finds the listener; empty: listener.host, or loopback for 0.0.0.0.")


class SweepSettings(Section):
    """Reconciling files and queue."""

    interval_s: float = Field(30.0, gt=0, description="Seconds between two sweeps.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(9150, description="HTTP port of the sweep's metrics and health. 0: any.")


class DeliverSettings(Section):
    """Handing results over; where to is in the channels."""

    interval_s: float = Field(1.0, gt=0, description="Seconds between two looks for what is to be delivered.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(9170, description="HTTP port of the delivery's metrics and health. 0: any.")


class LogSettings(Section):
    """Logging to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity that is logged.")


class Settings(Section):
    """Every setting there is."""

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
    audit: AuditSettings = AuditSettings()
    sweep: SweepSettings = SweepSettings()
    deliver: DeliverSettings = DeliverSettings()
    reports: ReportsSettings = ReportsSettings()
    channels: ChannelsSettings = ChannelsSettings()
    log: LogSettings = LogSettings()

    @property
    def keeps_activation_maps(self) -> bool:
        """Whether something shows activation maps, so that workers have to keep them."""
        return self.web.activation_map or any(each.enabled for each in self.channels.secondary_capture)

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


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML file (or none) and the environment's TRIAGE_ variables, which win.

    Raises SettingsError that names each unknown or wrong key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {path}: {error}") from error
    for name, (section, key) in _named_in(environment).items():
        table = values.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"settings file {path}: {section} must be a table")
        table[key] = _parsed(environment[name], section, key)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_readable(problem) for problem in error.errors())) from error


def variables() -> dict[str, tuple[str, str]]:
    """Every environment variable that is a setting, with its section and key."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section, field in Settings.model_fields.items()
        if section != _IN_THE_FILE_ONLY
        for key in _section_type(field.annotation).model_fields
    }


def dump(settings: Settings) -> str:
    """The settings as TOML, secrets masked."""
    tables = []
    for section, values in settings.model_dump(mode="json").items():
        if section == _IN_THE_FILE_ONLY:
            tables += [_table(f"[[{section}.{kind}]]", each) for kind, many in values.items() for each in many]
        else:
            tables.append(_table(f"[{section}]", values))
    return "\n\n".join(tables) + "\n"


def reference() -> str:
    """The settings as a Markdown table, generated from their descriptions."""
    rows = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    defaults = Settings().model_dump(mode="json")
    for name, (section, key) in variables().items():
        field = _section_type(Settings.model_fields[section].annotation).model_fields[key]
        default = json.dumps(defaults[section][key])
        rows.append(f"| `{section}.{key}` | `{name}` | `{default}` | {field.description} |")
    return "\n".join(rows) + "\n"


def channels_reference() -> str:
    """The settings of destinations as Markdown tables, one for each kind, generated from their descriptions."""
    return "\n".join(_kind_reference(kind) for kind in ChannelsSettings.model_fields)


def _kind_reference(kind: str) -> str:
    rows = [f"### `[[{_IN_THE_FILE_ONLY}.{kind}]]`", "", "| setting | default | meaning |", "|---|---|---|"]
    for key, field in _destination_type(kind).model_fields.items():
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{key}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _destination_type(kind: str) -> type[Destination]:
    found: type[Destination] = get_args(ChannelsSettings.model_fields[kind].annotation)[0]
    return found


def _table(heading: str, values: Mapping[str, Any]) -> str:
    return "\n".join([heading, *(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None)])


def _named_in(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = variables()
    ours = {name for name in environment if name.startswith(PREFIX)} - NOT_SETTINGS
    if unknown := sorted(ours - known.keys()):
        raise SettingsError(f"unknown environment variables: {', '.join(unknown)}")
    return {name: known[name] for name in sorted(ours)}


def _parsed(text: str, section: str, key: str) -> Any:
    """Lists are separated by commas, what may be unset is by an empty text, and all else is the model's to read."""
    default = getattr(getattr(Settings(), section), key)
    if default is None:
        return text or None
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _section_type(annotation: Any) -> type[Section]:
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def _readable(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
