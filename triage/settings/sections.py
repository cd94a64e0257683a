"""The sections of the settings that need nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from triage.decision.types import Priority
from triage.setting_types import AETitle, NamedShare, Pattern, Port, Section, Word

_REDIS_ADDRESSES = ("redis", "rediss", "unix")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}")
_SENTINEL = (
    "; we do not ask Sentinel for the primary: give the address of a proxy (HAProxy with a check for role:master) or a "
    "name that follows it"
)


class DataSettings(Section):
    """The folder of everything that has no place of its own."""

    path: Path | None = Field(
        None,
        description="Folder that relative paths of all settings lie in; itself relative to the settings file. Empty: "
        "the folder of spool.path where that is absolute, else `var` beside the settings file; without one the "
        "checkout's `var`, or `cxr-triage` in the user's state folder (XDG_STATE_HOME, ~/.local/state).",
    )


class SpoolSettings(Section):
    """Where everything durable lies."""

    path: Path = Field(
        Path("spool"),
        description="Folder of the spool; created with mode 0700. On a local disk: see the runbook, Moving the spool.",
    )
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
        30.0,
        ge=0,
        description="Days after tagging until a study that has left the list is removed; 0 keeps everything.",
    )
    quarantine_days: float = Field(
        30.0,
        ge=0,
        description="Days until an object that was refused as unparsable is removed from quarantine; 0 keeps all. It "
        "has to be too old twice, a day apart, whatever the clock does.",
    )


class RedisSettings(Section):
    """The queue. It holds nothing that the spool does not have."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis:// , rediss:// or unix:// address; empty starts an embedded Redis (triage up only). Where "
        "Sentinel or a cluster has several, that of a proxy or a name that follows the primary.",
    )
    password_file: Path | None = Field(
        None,
        description="File whose only line is the password of the Redis that redis.url names, in place of one in the "
        "address; read at the start.",
    )
    socket_path: Path = Field(
        Path("redis/redis.sock"), description="Unix socket of the embedded Redis; its data lie beside it."
    )
    timeout_s: float = Field(5.0, gt=0, description="Seconds until a silent Redis counts as failed.")

    @field_validator("url")
    @classmethod
    def _is_an_address_that_we_know(cls, url: SecretStr) -> SecretStr:
        """The message names the kind of address and nothing else of it: there may be a password in it."""
        address = url.get_secret_value()
        scheme, colon, rest = address.partition("://")
        if address and (scheme not in _REDIS_ADDRESSES or not colon):
            named = scheme if colon and _SCHEME.fullmatch(scheme) else "an address without a kind"
            hint = _SENTINEL if "sentinel" in named else ""
            raise ValueError(f"{named} is not understood: give a redis://, rediss:// or unix:// address{hint}")
        if address and not _has_a_place(scheme, rest):
            raise ValueError(f"{scheme}:// needs a port that is a number, and unix:// a path")
        return url


class WorkerSettings(Section):
    """What scores."""

    processes: int = Field(1, ge=1, le=64, description="Worker processes of triage up and triage work.")
    decode_processes: int = Field(
        0,
        ge=0,
        description="Child processes that decode, per worker; 0 is one per core. There are always two: large images "
        "leave one to the others.",
    )
    batch_size: int = Field(16, ge=1, le=256, description="Objects that are taken from the queue at once at most.")
    threads: int = Field(0, ge=0, description="Threads of ONNX Runtime in one worker; 0 is one per core.")
    provider: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where ONNX Runtime computes; cuda fails at start if CUDA is not the first provider."
    )
    decode_timeout_s: float = Field(
        60.0, gt=0, description="Seconds until the decoding of one object counts as failed."
    )
    score_timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds until a model's run is stopped, and the object given up: a graph may never end. The "
        "first run at a worker's start is bounded by it, too.",
    )
    load_timeout_s: float = Field(
        120.0,
        gt=0,
        description="Seconds until the loading of a model is stopped: optimising a graph may never end. The worker "
        "goes on without it, and its images are NOT_ASSESSED.",
    )
    decode_memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory that all images being decoded in one worker may need together, by their size; 0 is half of "
        "the machine's, or of the container's limit.",
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

    path: Path | None = Field(
        None,
        description="Folder of the model folders. Empty: those of the checkout that the program runs from, else of "
        "the installed package cxr-triage-models."
        " For this one release `models` in the current folder goes before both.",
    )
    names: tuple[str, ...] = Field(
        (),
        description="Model folders to load, each of which must load; empty loads all of them but demonstrations. Two "
        "in service for the same images are refused.",
    )
    shadow: tuple[str, ...] = Field(
        (), description="Loaded models that score beside those in service, and change nothing; demonstrations too."
    )
    operating_point: float = Field(0.5, gt=0, lt=1, description="Probability from which an image is ABNORMAL.")
    prevalence: tuple[NamedShare, ...] = Field(
        (),
        description="NAME=SHARE of models: which share of its patients is abnormal at your site. Page, API and "
        "`explain` then show the probability for that share beside the score; no tag changes.",
    )
    adult_when_age_unknown: bool = Field(
        False,
        description="Let the adult model score patients of whom no age is stated; otherwise they are not assessed. "
        "Where what is stated contradicts itself, they never are.",
    )
    allow_demo: bool = Field(
        False,
        description="Let models marked as demo (not shown to know more than chance) decide. Never in clinical use.",
    )

    @property
    def prevalence_by_name(self) -> dict[str, float]:
        """``prevalence``, by model."""
        return {name: float(share) for name, _, share in (each.rpartition("=") for each in self.prevalence)}


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
    chest_ae_titles: tuple[AETitle, ...] = Field(
        (), description="Calling AE titles that send chests only, where nothing names a part of the body."
    )
    chest_words: tuple[Word, ...] = Field(
        (),
        description="Words or phrases of your modalities that mean the chest, in Body Part Examined and descriptions. "
        "Whole words; case, width and accents do not matter.",
    )
    other_part_words: tuple[Word, ...] = Field(
        (), description="Words that clearly mean another part of the body: such images are listed and not counted."
    )
    lateral_words: tuple[Word, ...] = Field(
        (), description="Words that mean a lateral view: such images are listed and not counted."
    )
    doubtful_view_words: tuple[Word, ...] = Field(
        (),
        description="Words for views that are no plain frontals (axial, inclined): such images are `view_unverified`, "
        "whatever else is said of them.",
    )
    ignored_words: tuple[Word, ...] = Field(
        (), description="Words of our lists that mean something else at your site, and are not to be heard."
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
    silent: bool = Field(
        False,
        description="Silent installation: studies that begin from now on are received, scored and recorded, and "
        "neither listed, raised nor delivered, not later either. Start work again.",
    )
    silent_days: float = Field(30.0, gt=0, description="Days of silence after which an alert reminds of it.")


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
    format: Literal["lines", "json"] = Field(
        "lines",
        description="Form of the log of every process: lines for people, or a JSON object on each line for a log store "
        "(docs/reference/logs.md). Commands that people type keep lines.",
    )


def _has_a_place(scheme: str, rest: str) -> bool:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        return bool(parts.path.strip("/")) if scheme == "unix" else parts.port != 0
    except ValueError:  # the port
        return False
