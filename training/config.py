"""Configuration of a run: data in TOML; unknown keys are errors."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from training.config_keys import Table, in_new_spelling, merged, nested, parse_change, section_in_new_spelling
from training.errors import TrainingError
from triage.radiograph.preprocess import PreprocessSpec

BUILT_IN = Path(__file__).parent / "configs"


class _ConfigPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_ConfigPart):
    """Architecture and first weights of the network.

    ``weights``: ``scratch``, ``imagenet``, ``file:PATH`` (ImageNet's, local) or ``run:FOLDER`` (an earlier run).
    ``head``: ``pool`` replaces the fully connected heads of AlexNet and VGG.
    """

    architecture: str
    weights: str = "scratch"
    head: Literal["own", "pool"] = "own"


class InputConfig(_ConfigPart):
    """Image sizes, in pixels of one side: images are cached at ``resize``, the network sees ``size``.

    ``evaluation``: ``whole`` scores the whole image at ``size``; ``centre-crop`` cuts ``size`` from the middle of
    ``resize``, as the paper. ``flips``: the score is the mean over the image and its mirror image. ``crop``: ``border``
    cuts off shutter and border before that, here and in the service (triage/radiograph/crop.py).
    """

    resize: int = Field(ge=16, le=2048)
    size: int = Field(ge=16, le=2048)
    evaluation: Literal["whole", "centre-crop"] = "whole"
    flips: bool = False
    crop: Literal["none", "border"] = "none"

    @model_validator(mode="after")
    def _crop_fits(self) -> InputConfig:
        if self.size > self.resize:
            raise ValueError(f"a crop of {self.size} px does not fit into {self.resize} px")
        return self

    def cached_spec(self) -> PreprocessSpec:
        """Return the preprocessing of the cached images that training cuts its crops from."""
        return PreprocessSpec(size=self.resize, crop=self.crop, resize="area_rows")

    def spec(self) -> PreprocessSpec:
        """Return the preprocessing that the service does before this model."""
        size = self.resize if self.evaluation == "centre-crop" else self.size
        return PreprocessSpec(size=size, crop=self.crop, resize="area_rows")


class LossConfig(_ConfigPart):
    """Loss of a class.

    ``kind``: ``bce`` (binary cross-entropy), ``gce`` (generalised cross-entropy, Zhang and Sabuncu 2018, exponent
    ``q``) or ``bootstrap`` (soft bootstrapping, Reed et al. 2015, share ``beta`` of the label); the latter two tolerate
    wrong labels. ``smoothing`` of 0.1 trains towards 0.05 and 0.95.
    """

    kind: Literal["bce", "gce", "bootstrap"] = "bce"
    smoothing: float = Field(0.0, ge=0, lt=1)
    q: float = Field(0.7, gt=0, le=1)
    beta: float = Field(0.9, gt=0, le=1)


class TargetConfig(_ConfigPart):
    """One output of the network, from one column of the manifest.

    A class is 1 or 0 as the column says, or 1 if the column ``equals`` one of the texts, or if its ``|``-separated list
    ``contains`` one. A ``number`` is ``(value - mean) / deviation``. The target is unknown where the column is empty or
    one of ``unknown``, and in rows of another source than ``source`` where that is given. ``teacher`` (``run:FOLDER``,
    or several) scores the rows whose target is unknown, see training/runs/self_training.py. ``share`` is the target's
    share of the loss, ``positive`` the weight of its positives.
    """

    column: str = "label"
    kind: Literal["class", "number"] = "class"
    source: str = ""
    teacher: tuple[str, ...] = ()
    equals: tuple[str, ...] = ()
    contains: str = ""
    unknown: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = Field(1.0, gt=0)
    share: float = Field(1.0, gt=0)
    positive: float = Field(1.0, gt=0)
    loss: LossConfig | None = None

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_teacher(cls, value: object) -> object:
        return ((value,) if value else ()) if isinstance(value, str) else value


class DataConfig(_ConfigPart):
    """Rows of the manifests that train and validate, by their column ``split``; rows of other splits are not opened.

    Rows whose split is in ``never_held_out`` train in every fold of a cross-validation and are never scored.
    If no row is in a validation split, every ``carve``-th patient of ``train`` validates; with ``carve`` 0 none does,
    and the last weights are kept. ``folds`` is the number of folds of a cross-validation, where the manifest has none
    of its own. ``repeat`` shows the rows of a source more than once in an epoch. With ``limit``, training sees that
    many images at most, of patients drawn by the seed; those of a smaller limit are among those of a larger one.
    ``wrong_labels`` is the share of training images whose classes are turned round, drawn by the seed; the labels of
    rows that validate stay.
    """

    train: tuple[str, ...] = ("train", "")
    never_held_out: tuple[str, ...] = ()
    validation: tuple[str, ...] = ("val", "validation")
    carve: int = Field(10, ge=0)
    folds: int = Field(7, ge=2)
    repeat: dict[str, int] = {}
    limit: int = Field(0, ge=0)
    wrong_labels: float = Field(0.0, ge=0, le=0.5)

    @model_validator(mode="before")
    @classmethod
    def _former_key(cls, record: object) -> object:
        # Of the record of a run before 0.2.0: read until 0.3.0, without a warning, as records do not change.
        return section_in_new_spelling("data", record) if isinstance(record, dict) else record


class OptimizerConfig(_ConfigPart):
    """Optimizer and learning rate; ``clip`` is the largest norm of a step's gradient, 0 for no limit."""

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 0.0


class ScheduleConfig(_ConfigPart):
    """Length of the training and the course of its learning rate.

    ``shape`` is that of the learning rate after a linear ``warmup`` (share of all steps). ``plateau`` multiplies
    it by ``factor`` when the validation loss has not improved for ``patience`` epochs. Training stops after
    ``stop_after`` epochs without improvement, 0 for never. ``choose``: the weights of the ``best`` validation loss, or
    the ``last``. ``averaging`` is the decay of an exponential moving average of the weights, 0 for none.
    ``least_steps``: few images are shown several times in an epoch, so that all epochs together have that many steps.
    ``validate_after``: measured after ``each`` epoch, or at the ``end`` only where nothing depends on it.
    """

    epochs: int = Field(ge=1)
    least_steps: int = Field(0, ge=0)
    batch_size: int = Field(ge=1)
    shape: Literal["constant", "cosine", "plateau"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1)
    factor: float = Field(0.1, gt=0, lt=1)
    patience: int = Field(5, ge=1)
    stop_after: int = Field(0, ge=0)
    choose: Literal["best", "last"] = "best"
    averaging: float = Field(0.0, ge=0, lt=1)
    validate_after: Literal["each", "end"] = "each"

    @model_validator(mode="after")
    def _measured_where_needed(self) -> ScheduleConfig:
        if self.validate_after == "end" and (self.choose == "best" or self.shape == "plateau" or self.stop_after):
            raise ValueError("the best weights, a plateau and stopping early need validate_after = 'each'")
        return self


class AugmentationConfig(_ConfigPart):
    """Largest changes of an image; see training/data/augmentation.py. All zero: the whole image, unchanged.

    Over the last ``fade`` (share of all steps) they shrink to zero, so that the network ends on images as the service
    shows them, and 0.5 means there what it meant in training.
    """

    fade: float = Field(0.0, ge=0, le=1)
    mirror: bool = False
    crop: Literal["whole", "centre", "random"] = "whole"
    rotation: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shift: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    exposure: float = 0.0
    exchange: float = 0.0
    sharpness: float = 0.0
    tone: float = 0.0
    shading: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def at(self, done: float) -> AugmentationConfig:
        """Return the changes when the share ``done`` of the steps is done."""
        left = min(1.0, (1 - done) / self.fade) if self.fade else 1.0
        return self.model_copy(update={name: getattr(self, name) * left for name in MAGNITUDES}) if left < 1 else self


MAGNITUDES = tuple(name for name in AugmentationConfig.model_fields if name not in ("fade", "mirror", "crop"))
"""Names of the changes that shrink."""


class SelfSupervisionConfig(_ConfigPart):
    """Self-supervision on two variations of each image, see training/networks/self_supervision.py.

    ``share`` is its share of the loss, 0 for none. ``width`` is the length of the projection that is compared,
    ``redundancy`` the weight of its redundancy term. Without ``labels`` no target is learnt and no row validates: the
    run is there to start others from.
    """

    share: float = Field(0.0, ge=0)
    width: int = Field(256, ge=2)
    redundancy: float = Field(0.01, ge=0)
    labels: bool = True

    @model_validator(mode="after")
    def _learns(self) -> SelfSupervisionConfig:
        if not self.labels and not self.share:
            raise ValueError("without labels and with a share of 0 there is nothing to learn")
        return self


class BalanceConfig(_ConfigPart):
    """Equal weight of positives and negatives, over all images or within each view."""

    labels: bool = False
    views: bool = False


class RuntimeConfig(_ConfigPart):
    """Seed, precision (``bf16`` and ``fp16`` are mixed with fp32) and the number of steps between checkpoints."""

    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpoint_steps: int = Field(200, ge=1)


class Config(_ConfigPart):
    """Configuration of one run; ``grid`` and ``ablate`` (dotted keys and values) are for commands of these names."""

    about: str = ""
    model: ModelConfig
    input: InputConfig
    targets: dict[str, TargetConfig] = {"abnormal": TargetConfig()}
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    loss: LossConfig = LossConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    agreement: SelfSupervisionConfig = SelfSupervisionConfig()
    balance: BalanceConfig = BalanceConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    grid: dict[str, tuple[object, ...]] = {}
    ablate: dict[str, dict[str, object]] = {}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs; the first is the one that is measured."""
        return tuple(self.targets)

    def changed(self, changes: Table) -> Config:
        """Return the configuration with other values at dotted keys. Raises TrainingError for an unknown key."""
        tables = in_new_spelling(nested(changes))
        return _validated(merged(self.model_dump(), tables), "the change " + ", ".join(changes))


def load_config(name: str, changes: Sequence[str] = ()) -> Config:
    """Read the configuration ``name``: a TOML file, or one of training/configs by name.

    Args:
        name: path or name; the key ``extends`` in the file names the configuration that it changes.
        changes: ``dotted.key=value``, the value as TOML or plain text.

    Raises:
        TrainingError: names a wrong or unknown key.
    """
    record = _read(_find(name, BUILT_IN))
    return _validated(merged(record, in_new_spelling(nested(dict(map(parse_change, changes))))), name)


def _find(name: str, folder: Path) -> Path:
    for path in (Path(name), folder / name, folder / f"{name}.toml", BUILT_IN / f"{name}.toml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.toml")))
    raise TrainingError(f"no configuration {name!r}: give a TOML file or one of {known}")


def _read(path: Path) -> dict[str, object]:
    try:
        record = in_new_spelling(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: {error}") from error
    base = record.pop("extends", None)
    if base is None:
        return record
    found = _read(_find(str(base), path.parent))
    if "targets" in record:
        # Outputs are replaced as a whole: those of the base belong to its own cohort.
        found = {**found, "targets": {}}
    return merged(found, record)


def _validated(record: Table, name: str) -> Config:
    try:
        return Config.model_validate(record)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise TrainingError(f"{name}: {where}: {problem['msg']}") from error
