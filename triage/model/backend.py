"""Places where a model runs, as its card says: in the worker, at a server, or in a plug-in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from triage.model.card_finding import CardPart


class OnnxBackend(CardPart):
    """The graph ``model.onnx`` of the folder, on ONNX Runtime."""

    kind: Literal["onnx"] = "onnx"


class OpenInferenceBackend(CardPart):
    """A server of the Open Inference Protocol v2; the site's settings say where (docs/adr/0061).

    The folder holds ``known_answers.npz``, whose digest is the card's ``model_sha256``, and for a model with a
    distribution ``distance.npz``. Each request has ``batch`` images: the tensor ``input``, FP32 (batch, 1, size, size),
    preprocessed as the card says; the tensor ``output`` has the probabilities (batch, columns).
    """

    kind: Literal["open_inference"]
    batch: int = Field(ge=1, le=64)
    input: str = Field("image", min_length=1, max_length=128)
    output: str = Field("probability", min_length=1, max_length=128)
    distance_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="Digest of distance.npz.")


class PluginBackend(CardPart):
    """A model loader of an enabled plug-in (docs/adr/0067); such a model never makes a NORMAL alone.

    ``loader`` is its DIST:NAME. ``weights``: the file in the folder that it loads, with the digest ``model_sha256``.
    """

    kind: Literal["plugin"]
    loader: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*:[a-z][a-z0-9_-]{0,47}$", max_length=200)
    weights: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")


Backend = Annotated[OnnxBackend | OpenInferenceBackend | PluginBackend, Field(discriminator="kind")]
