"""Results of the rules on body part, view and age on the files at hand: scored, refused, and why.

For every CR and DX object below TRIAGE_DATA (dicom/ and field-cases/): as it is, with Body Part Examined blank, and
with every text that could name a part blank. Nothing is decoded or scored, so it takes seconds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from triage.radiograph.body_part import part_of
from triage.radiograph.decode import open_dicom
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes, Part, Rejected
from triage.radiograph.vocabulary import SiteWords, vocabulary

SITE = EligibilityPolicy()
SILENT = {
    "body_part_examined": "",
    "anatomy_codes": (),
    "protocol_name": "",
    "series_description": "",
    "processing_description": "",
    "study_description": "",
}
VARIANTS: dict[str, Callable[[Attributes], Attributes]] = {
    "as they are": lambda attributes: attributes,
    "Body Part Examined blank": lambda attributes: replace(attributes, body_part_examined="", anatomy_codes=()),
    "and all descriptions blank": lambda attributes: replace(attributes, **SILENT),
}


def result(attributes: Attributes) -> str:
    """Return the result of an object before its pixels are read."""
    refusal = ineligible(attributes, SITE)
    if refusal is not None:
        return f"not scored: {refusal.reason}"
    if attributes.age_years is None:
        return "not scored: age_unknown"
    if not view_of(attributes, SITE).is_frontal:
        return "scored, view_unverified"
    return "may be normal" if part_of(attributes, SITE) is Part.CHEST else "may be abnormal, never normal"


def radiographs(folder: Path) -> Iterator[Attributes]:
    """Yield the attributes of the CR and DX objects below a folder."""
    for path in sorted([*folder.rglob("*.dcm"), *folder.rglob("*.ds")]):
        opened = open_dicom(path.read_bytes())
        if not isinstance(opened, Rejected) and "1.2.840.10008.5.1.4.1.1.1" in opened[1].sop_class_uid:
            yield opened[1]


def main() -> None:
    words = vocabulary(SiteWords())
    print(f"phrases: {len(words.examined.phrases)} of body parts, {len(words.views.phrases)} of views")
    data = Path(os.environ["TRIAGE_DATA"])
    for name in ("dicom/cr-dx-chest", "dicom/cr-dx-other", "field-cases"):
        found = list(radiographs(data / name))
        for variant, changed in VARIANTS.items():
            counts = Counter(result(changed(attributes)) for attributes in found)
            print(f"{name}, {variant} ({len(found)}): {', '.join(f'{n} {each}' for each, n in counts.most_common())}")


if __name__ == "__main__":
    main()
