"""Folder of a run: its configuration, sources, environment, and networks."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from training.config import Config
from training.data.cases import TrainingCase, read_cases
from training.errors import TrainingError
from training.files import digest, save_tensors, write_json
from training.networks.build import build
from training.networks.network import Network
from training.runs.training_images import read_images, write_images

RECORD = "run.json"
WEIGHTS = "model.pt"
EARLIER = "run:"
PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "scipy", "scikit-learn")


@dataclass(frozen=True)
class RunSources:
    """Manifests of a run, and the patients to leave out."""

    manifests: tuple[Path, ...]
    without: frozenset[str] = frozenset()

    def cases(self) -> list[TrainingCase]:
        """Return every row. Raises TrainingError."""
        return read_cases(self.manifests, without=self.without)

    def record(self) -> dict[str, object]:
        """Return the JSON record, with digests of the manifests."""
        return {
            "manifests": [{"path": str(path.resolve()), "sha256": digest(path)} for path in self.manifests],
            "without": sorted(self.without),
        }


@dataclass(frozen=True)
class RunSpec:
    """One run to do: configuration, manifests, its folder, and the folder of decoded images."""

    config: Config
    source: RunSources
    folder: Path
    cache: Path


@dataclass(frozen=True)
class RunCases:
    """Rows of a run: those that train (in any fold), those that validate, and those that will be scored."""

    training: Sequence[TrainingCase]
    validation: Sequence[TrainingCase] = ()
    scored: Sequence[TrainingCase] = ()


@dataclass(frozen=True)
class TrainingRun:
    """A run as its folder records it. ``pretraining_patients`` are those of the runs that it started from."""

    folder: Path
    kind: str
    config: Config
    source: RunSources
    training_patients: tuple[str, ...]
    validation_patients: tuple[str, ...]
    pretraining_patients: tuple[str, ...]
    training_images: int
    cache: Path

    @classmethod
    def open(cls, folder: Path, *, check_manifests: bool = True) -> Self:
        """Read a run. Raises TrainingError for a folder without a run, and for manifests that have changed since."""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"{folder} is not the folder of a run: {error}") from error
        manifests = tuple(Path(one["path"]) for one in record["source"]["manifests"])
        for path, one in zip(manifests, record["source"]["manifests"], strict=True):
            if check_manifests and digest(path) != one["sha256"]:
                raise TrainingError(f"{path} has changed since the run {folder}")
        return cls(
            folder=folder,
            kind=record["kind"],
            config=Config.model_validate(record["config"]),
            source=RunSources(manifests, frozenset(record["source"]["without"])),
            training_patients=tuple(record["training_patients"]),
            validation_patients=tuple(record["validation_patients"]),
            pretraining_patients=tuple(record["pretraining_patients"]),
            training_images=record["training_images"],
            cache=Path(record["cache"]),
        )

    @property
    def seen(self) -> frozenset[str]:
        """Patients of any part of the run, or of the runs that it started from."""
        return frozenset((*self.training_patients, *self.validation_patients, *self.pretraining_patients))

    @property
    def learnt_from(self) -> list[str]:
        """Patients whose images made the weights, those of earlier runs included."""
        return sorted({*self.training_patients, *self.pretraining_patients})

    @property
    def members(self) -> list[Path]:
        """Folders with a finished network: the run's own, or one for each fold."""
        found = sorted(path.parent for path in self.folder.glob(f"fold*/{WEIGHTS}"))
        return found or [self.folder]


def describe(run: RunSpec, kind: str, cases: RunCases) -> None:
    """Write run.json and the list of images, or check that those of the folder are of the same run.

    Raises TrainingError if the folder is that of another run, and for a row to be scored whose patient is one of those
    that the earlier run behind the first weights trained on.
    """
    earlier = pretrained_on(run.config)
    for case in cases.scored:
        if case.patient in earlier:
            raise TrainingError(f"{case.origin}: its patient was trained on in {run.config.model.weights}")
    record = _record(run, kind, cases, earlier)
    path = run.folder / RECORD
    if path.exists():
        _check_same_run(path, record)
        return
    write_images(run.folder, cases.training, _images_before(run.config))
    write_json(path, {**record, "environment": environment()})


def _record(run: RunSpec, kind: str, cases: RunCases, earlier: frozenset[str]) -> dict[str, object]:
    return {
        "kind": kind,
        "config": run.config.model_dump(mode="json"),
        "source": run.source.record(),
        "cache": str(run.cache.resolve()),
        "training_images": len(cases.training),
        "training_patients": sorted({case.patient for case in cases.training}),
        "validation_patients": sorted({case.patient for case in cases.validation}),
        "pretraining_patients": sorted(earlier | (_taught_on(run.config) if kind == "train" else frozenset())),
    }


def _check_same_run(path: Path, record: Mapping[str, object]) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    found["config"] = in_present_form(found["config"])
    changed = [key for key in ("kind", "config", "source") if found.get(key) != json.loads(json.dumps(record[key]))]
    if changed:
        raise TrainingError(f"{path.parent} holds a run with another {', '.join(changed)}: give --out another folder")


def in_present_form(config: dict[str, object]) -> dict[str, object]:
    """Return a recorded configuration with present key names and the defaults of newer keys.

    So a run that an earlier release began can go on, and its finished folds count.
    """
    try:
        return Config.model_validate(config).model_dump(mode="json")
    except ValueError:  # a key that no longer exists: another configuration
        return config


def pretrained_on(config: Config) -> frozenset[str]:
    """Return the patients of the run that the configuration starts from, and of the runs before it."""
    home = _home_before(config)
    return frozenset(TrainingRun.open(home, check_manifests=False).learnt_from) if home else frozenset()


def _taught_on(config: Config) -> frozenset[str]:
    """Return the patients of the teachers' runs. A fold's teachers saw none of its own: self_training.py."""
    return frozenset(
        patient for home in _teachers(config) for patient in TrainingRun.open(home, check_manifests=False).learnt_from
    )


def _images_before(config: Config) -> tuple[str, ...]:
    start = _home_before(config)
    homes = [*([start] if start else []), *_teachers(config)]
    return tuple(name for home in homes for name in read_images(home))


def _teachers(config: Config) -> list[Path]:
    return [Path(one.removeprefix(EARLIER)) for target in config.targets.values() for one in target.teacher]


def _home_before(config: Config) -> Path | None:
    """Return the folder of the run that the configuration starts from; of a fold, that of its cross-validation."""
    if not config.model.weights.startswith(EARLIER):
        return None
    folder = Path(config.model.weights.removeprefix(EARLIER))
    return folder if (folder / RECORD).exists() else folder.parent


def environment() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute, the machine and the number of threads."""
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def save_network(folder: Path, network: nn.Module, config: Config) -> None:
    """Write the finished network; the file marks the run as finished."""
    record = {
        "architecture": config.model.architecture,
        "head": config.model.head,
        "outputs": list(config.outputs),
        "state": network.state_dict(),
    }
    save_tensors(folder / WEIGHTS, record)


def load_network(folder: Path) -> Network:
    """Read the finished network in ``folder``, in evaluation mode. Raises TrainingError."""
    saved = _saved(folder)
    network = build(saved["architecture"], len(saved["outputs"]), head=saved["head"])
    network.load_state_dict(saved["state"])
    network.eval()
    return network


def start_network(config: Config) -> Network:
    """Return the network with the configuration's first weights. Raises TrainingError.

    From an earlier run (``run:FOLDER``) all weights but the head are taken, and the head too where the outputs are the
    same.
    """
    model = config.model
    if not model.weights.startswith(EARLIER):
        return build(model.architecture, len(config.outputs), weights=model.weights, head=model.head)
    folder = Path(model.weights.removeprefix(EARLIER))
    saved = _saved(folder)
    if (saved["architecture"], saved["head"]) != (model.architecture, model.head):
        raise TrainingError(f"{folder} is a run of {saved['architecture']}, not of {model.architecture}")
    network = build(model.architecture, len(config.outputs), head=model.head)
    state, own = saved["state"], network.state_dict()
    if saved["outputs"] != list(config.outputs):
        state = {name: own[name] if _is_last_layer(name, network) else value for name, value in state.items()}
    network.load_state_dict(state)
    return network


def _is_last_layer(name: str, network: Network) -> bool:
    """Return True for a weight of the last linear layer, whose rows are the outputs."""
    last = [key for key, module in network.head.named_modules() if isinstance(module, nn.Linear)][-1]
    return name in {f"head.{last}.weight".replace("..", "."), f"head.{last}.bias".replace("..", ".")}


def _saved(folder: Path) -> dict[str, Any]:
    path = folder / WEIGHTS
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        folds = sorted(path.name for path in folder.glob("fold*"))
        hint = f"; name one of its folds, {', '.join(folds)}" if folds else ": the run is not finished"
        raise TrainingError(f"there is no {path}{hint}") from error
    return saved
