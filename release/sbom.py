"""The bill of materials, CycloneDX 1.6: every wheel and every model, with digests and licences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, TypedDict
from uuid import NAMESPACE_URL, uuid5

from release.wheel_contents import WheelContents
from triage.model.card import CARD, ModelCard, load_card


class Hash(TypedDict):
    alg: str
    content: str


Component = TypedDict(
    "Component",
    {
        "type": str,
        "bom-ref": str,
        "name": str,
        "version": str,
        "description": str,
        "hashes": list[Hash],
        "licenses": Sequence[Mapping[str, object]],
        "purl": NotRequired[str],
    },
)
"""A component of CycloneDX 1.6."""


def sbom(version: str, commit: str, when: int, wheels: Iterable[WheelContents], models: Path) -> str:
    """Return the document as JSON, the same for the same contents. ``when`` is in seconds since 1970."""
    components = [_library(each) for each in wheels]
    components += [_model(load_card(card.parent)) for card in sorted(models.glob(f"*/{CARD}"))]
    digests = "".join(each["hashes"][0]["content"] for each in components)
    product = {
        "type": "application",
        "bom-ref": "cxr-triage",
        "name": "cxr-triage",
        "version": version,
        "licenses": [{"expression": "Apache-2.0"}],
        "properties": [{"name": "commit", "value": commit}],
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, version + commit + digests)}",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(when, UTC).isoformat(), "component": product},
        "components": components,
        "dependencies": [{"ref": "cxr-triage", "dependsOn": [each["bom-ref"] for each in components]}],
    }
    return json.dumps(document, indent=1) + "\n"


def _library(wheel: WheelContents) -> Component:
    name = re.sub(r"[-_.]+", "-", wheel.name).lower()
    address = f"pkg:pypi/{name}@{wheel.version}"
    licences: list[dict[str, object]] = []
    if wheel.licence:
        licences = [{"expression": wheel.licence}] if wheel.is_spdx else [{"license": {"name": wheel.licence}}]
    return {
        "type": "library",
        "bom-ref": f"{address}#{wheel.file}",
        "name": wheel.name,
        "version": wheel.version,
        "description": wheel.summary,
        "hashes": [{"alg": "SHA-256", "content": wheel.digest}],
        "licenses": licences,
        "purl": address,
    }


def _model(card: ModelCard) -> Component:
    weights = card.licence.weights if card.licence else "not known"
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{card.name}",
        "name": card.name,
        "version": card.version,
        "description": card.covers,
        "hashes": [{"alg": "SHA-256", "content": card.model_sha256}],
        "licenses": [{"license": {"name": weights}}],
    }
