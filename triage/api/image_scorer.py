"""Load models, and score one image after another with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from triage.api.asserted import Asserted, ImageInputError
from triage.api.decoding import ImageDecoding
from triage.api.dx_file import Pixels, check_array
from triage.api.image_score import ImageScore
from triage.api.isolated import IsolatedDecoding
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.errors import TriageError
from triage.model.card import ModelCard, ModelRefusedError, load_card
from triage.model.installed import installed, models_folder
from triage.model.points_file import PointsFileError, check_points, read_points
from triage.model.registry import RegistryPolicy, to_be_loaded, usable
from triage.model.session import ModelSession
from triage.model.versions import name_in
from triage.radiograph.decode import is_picture
from triage.radiograph.types import Rejected
from triage.scoring.assess import AssessmentPolicy, PreparedImage, projection_seen, view_contradicted
from triage.scoring.finding_scores import FindingPolicy
from triage.scoring.inference import BatchInference, FailedImage, ScoredImage
from triage.scoring.plugin_rules import check_rules
from triage.scoring.watched_points import WatchedPoints

Image = str | os.PathLike[str] | bytes | Pixels

_UNSAID = Asserted()


class OtherProcessError(TriageError, RuntimeError):
    """A scorer in a process that was forked from the one that loaded it: its models do not run there."""


@dataclass(frozen=True)
class ScorerOptions:
    """The arguments of ``load_models``."""

    folders: tuple[Path, ...]
    operating_point: float | Path | None
    allow_demo: bool
    provider: Literal["cpu", "cuda"]
    threads: int
    isolated: bool

    @property
    def policy(self) -> AssessmentPolicy:
        """The policy of a site that states nothing but its operating points. Raises PointsFileError."""
        point = self.operating_point
        return AssessmentPolicy(
            registry=RegistryPolicy(allow_demo=self.allow_demo),
            findings=FindingPolicy(points=WatchedPoints(read_points(point).points.points))
            if isinstance(point, Path)
            else FindingPolicy(point),
        )


def load_models(
    *folders: str | os.PathLike[str],
    operating_point: float | str | os.PathLike[str] | None = None,
    allow_demo: bool = False,
    provider: Literal["cpu", "cuda"] = "cpu",
    threads: int = 0,
    isolated: bool = False,
) -> ImageScorer:
    """Load one or several model folders. Keep what is returned: loading takes seconds.

    Of several models the one for the patient's age, the view and the station scores an image, as in the service. An
    image that no model is for is NOT_ASSESSED.

    Args:
        *folders: Model folders, each with ``model.onnx`` and its ``card.json``. Load only what you trust. None named:
            those of the checkout, or of the installed package ``cxr-triage-models``, without demonstrations.
        operating_point: The probability of the leading finding from which an image is ABNORMAL, below 1; or a file of
            operating points, as the service's ``models.operating_points``; None: those of the cards.
        allow_demo: Whether a model that is marked as a demonstration may score.
        provider: What to compute with: ``cpu``, or ``cuda`` with the package ``onnxruntime-gpu``.
        threads: Threads of a model; 0 is one per core.
        isolated: Whether to decode in a child process, with 60 s and 4 GiB for each image. Without it, a file that
            crashes its decoder, or keeps it for ever, does so in your process.

    Raises:
        ModelRefusedError: A folder without a model that may be used, or two models for the same images.
        ProviderError: ``provider`` is not there.
        StartError: The child process does not start, or the file of operating points cannot be used.

    Examples:
        >>> import triage
        >>> scorer = triage.load_models("models/rsna-adult", threads=1)
        >>> scorer.cards["rsna-adult"].covers
        "not Normal (RSNA's classes), lung opacity (RSNA's classes); ages 18 to below 130; PA, AP; any station"
    """
    point = Path(operating_point) if isinstance(operating_point, str | os.PathLike) else operating_point
    if isinstance(point, int | float) and not 0 <= point < 1:
        raise ImageInputError(f"operating_point must be from 0 to below 1, at which all would be normal, not {point}")
    paths = tuple(Path(folder).resolve() for folder in folders) or _installed(allow_demo)
    return ImageScorer(ScorerOptions(paths, point, allow_demo, provider, threads, isolated))


class ImageScorer:
    """Scores images with the models that ``load_models`` loaded.

    Several threads may use it. A process that is started by ``spawn`` or ``forkserver`` may be handed it: the models
    are loaded there once more. A process that is forked may not. With ``isolated`` decoding ``close`` ends the child
    process, as does the end of a ``with`` block.
    """

    def __init__(self, options: ScorerOptions) -> None:
        self._options = options
        self._policy = options.policy
        self._process = os.getpid()
        folders = _by_name(options.folders)
        self._cards = _cards(folders, self._policy.registry)
        if isinstance(options.operating_point, Path):
            _check_points(options.operating_point, self._cards)
        sessions = {name: _session(folders[name], card, options) for name, card in self._cards.items()}
        self._inference = BatchInference(sessions, self._policy)
        decoding = ImageDecoding(self._cards, self._policy)
        self._decoding = IsolatedDecoding(decoding) if options.isolated else decoding

    @property
    def cards(self) -> Mapping[str, ModelCard]:
        """The cards of the models by name: what each is for, how it did, and where it ends."""
        return MappingProxyType(self._cards)

    def score(self, image: Image, asserted: Asserted | None = None) -> ImageScore:
        """Score one image as the service does.

        Args:
            image: The path or the bytes of a DICOM file, a PNG or a JPEG; or an array of grey values (rows, columns),
                uint8 or uint16.
            asserted: What you say of an array or a picture. A DICOM file says it itself.

        Returns:
            The score. What cannot be decoded, is no frontal chest, or is of a patient whom no model is for, is
            NOT_ASSESSED with a reason, and so is what nothing was asserted of.

        Raises:
            ImageInputError: An array that is no image as it was given, or an assertion about a DICOM file.
            OSError: A file that cannot be read.
            OtherProcessError: In a process that was forked from the one that loaded the models.

        Examples:
            >>> import triage
            >>> scorer = triage.load_models("models/rsna-adult", threads=1)
            >>> result = scorer.score("chest.dcm")
            >>> str(result.tag), round(result.probability, 2), result.model_id
            ('NORMAL', 0.14, 'rsna-adult 2')
            >>> result = scorer.score("chest.png", triage.Asserted(view_position="PA"))
            >>> result.reasons, result.detail.split("; ")[1]
            ((<Reason.AGE_UNKNOWN: 'age_unknown'>,), 'nothing was asserted of age_years')
        """
        if os.getpid() != self._process:
            raise OtherProcessError("models do not run in a forked process: load them there, or use spawn")
        said = asserted or _UNSAID
        source = _source(image, said)
        prepared = self._decoding(source, said)
        if not isinstance(source, bytes) or is_picture(source):
            return _of_no_dicom_file(self._result(prepared), said)
        if asserted is not None and prepared.attributes.sop_class_uid:
            raise ImageInputError("a DICOM file says itself what it is: score it with nothing asserted")
        return self._result(prepared)

    def close(self) -> None:
        """End the child process of isolated decoding."""
        if isinstance(self._decoding, IsolatedDecoding):
            self._decoding.close()

    def __enter__(self) -> ImageScorer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[ImageScorer], tuple[ScorerOptions]]:
        return ImageScorer, (self._options,)

    def _result(self, prepared: PreparedImage) -> ImageScore:
        (result,) = self._inference.run([prepared])
        if isinstance(result, FailedImage):
            if not result.is_final:
                raise result.error
            if result.partial is not None:
                return self._scored(result.partial)
            return self._refused(
                prepared, Rejected(Reason.WORKER_FAILURE, f"the model {result.card.name} {result.error}")
            )
        if result.card is None:
            return self._refused(prepared, prepared.rejected or Rejected(Reason.NO_MODEL))
        return self._scored(result)

    def _refused(self, prepared: PreparedImage, rejected: Rejected) -> ImageScore:
        return replace(
            self._known(prepared), tag=Tag.NOT_ASSESSED, reasons=(rejected.reason,), detail=rejected.detail,
            no_map="the image was not scored",
        )  # fmt: skip

    def _scored(self, scored: ScoredImage) -> ImageScore:
        prepared, conclusion, lead = scored.prepared, scored.conclusion, scored.leading
        assert lead is not None
        return replace(
            self._known(prepared),
            tag=conclusion.tag,
            probability=conclusion.probability,
            reasons=conclusion.reasons,
            detail=conclusion.detail,
            operating_point=lead.result.operating_point,
            distance=lead.result.distance,
            distance_limit=lead.result.distance_limit,
            model_id=lead.result.model_id,
            model_digest=lead.result.model_digest,
            view_contradicted=view_contradicted(prepared, projection_seen(prepared, conclusion.reasons)),
            activation_map=lead.activation_map,
            no_map=lead.no_map,
            findings=tuple(finding for each in scored.models for finding in each.result.findings),
        )

    def _known(self, prepared: PreparedImage) -> ImageScore:
        attributes = prepared.attributes
        return ImageScore(
            tag=Tag.NOT_ASSESSED,
            probability=None,
            reasons=(),
            detail="",
            operating_point=self._policy.findings.operating_point,
            view=str(prepared.view),
            age_years=attributes.age_years,
            study_instance_uid=attributes.study_instance_uid,
            sop_instance_uid=attributes.sop_instance_uid,
        )


def _of_no_dicom_file(result: ImageScore, asserted: Asserted) -> ImageScore:
    """Return the result without the UIDs of the wrapper, and with what could be asserted so that it is assessed."""
    detail = "; ".join(filter(None, (result.detail, asserted.missing(result.reasons))))
    return replace(result, detail=detail, study_instance_uid="", sop_instance_uid="")


def _installed(allow_demo: bool) -> tuple[Path, ...]:
    models = models_folder(None).resolve()
    return tuple(installed(models, (), RegistryPolicy(allow_demo=allow_demo)).folders.values())


def _by_name(folders: Sequence[Path]) -> dict[str, Path]:
    found = {name_in(folder.name): folder for folder in folders}
    if len(found) < len(folders):
        raise ModelRefusedError("two of the folders are of one name, and a folder is named like its model")
    return found


def _cards(folders: Mapping[str, Path], policy: RegistryPolicy) -> dict[str, ModelCard]:
    cards = {name: load_card(folder) for name, folder in folders.items()}
    if demos := sorted(cards.keys() - usable(cards, policy).keys()):
        raise ModelRefusedError(f"{', '.join(demos)}: marked as a demonstration, which allow_demo=True lets score")
    check_rules(cards.values(), {})
    return to_be_loaded(cards, policy, tuple(cards))


def _session(folder: Path, card: ModelCard, options: ScorerOptions) -> ModelSession:
    session = ModelSession(folder, card, provider=options.provider, threads=options.threads, maps=True)
    session.warm()
    return session


def _source(image: Image, asserted: Asserted) -> bytes | Pixels:
    """Return what the caller gave as bytes or as a checked array. Raises ImageInputError, OSError and TypeError."""
    if isinstance(image, np.ndarray):
        check_array(image, asserted)
        return image
    if not isinstance(image, str | os.PathLike | bytes | bytearray | memoryview):
        raise TypeError(
            f"an image is a path, bytes or an array, not {type(image).__name__}. Of a pydicom Dataset score the file: "
            "what pydicom has read no longer shows what was damaged in it"
        )
    content = Path(image).read_bytes() if isinstance(image, str | os.PathLike) else bytes(image)
    if is_picture(content) and asserted.bits_stored is not None:
        raise ImageInputError("bits_stored is asserted of arrays: a picture says itself how many it has")
    return content


def _check_points(path: Path, cards: Mapping[str, ModelCard]) -> None:
    """Raise PointsFileError unless the file has points of these models that hold; it may have others', too."""
    found = read_points(path).of_models(card.model_sha256 for card in cards.values())
    if not found.entries:
        raise PointsFileError(f"operating points: {path} has none of {', '.join(sorted(cards))}")
    check_points(found, cards, path)
