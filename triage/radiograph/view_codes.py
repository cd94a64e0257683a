"""The words and codes that say which view and which part of the body an image shows."""

from __future__ import annotations

import re

from triage.radiograph.types import View

# CID 4010 "DX View": SNOMED CT, and the SNOMED RT that older systems still send. The rest of it is oblique, axial, ...
_VIEW_CODES = {
    View.FRONTAL: "399033003 R-10202",
    View.PA: "272479007 R-10214 R-40888",
    View.AP: "399348003 R-10206",
    # Lateral, left, right, lateral-medial, medial-lateral, sagittal.
    View.LATERAL: "399067008 399173006 399198007 399352003 399260004 30730003 "
    "R-102CD R-10236 R-10232 R-10228 R-10224 G-A145",
    View.OTHER: "399038007 399225005 399059000 399061009 399110001 399162004 399099002 399288005 399135007 260427002 "
    "399236003 399368009 399196006 399356000 399312000 399184004 399182000 260426006 399132005 399325008 399160007 "
    "399004004 399006002 R-10210 R-10250 R-10216 R-10241 R-102C2 R-10242 R-10230 R-10248 R-10220 R-40783 R-10234 "
    "R-10226 R-10244 R-40985 R-10218 R-10208 R-10238 R-102C1 R-40782 R-10252 R-10254 R-10204 R-10246 R-10212",
}
VIEW_OF_CODE = {code: view for view, codes in _VIEW_CODES.items() for code in codes.split()}
# What a frontal code can be qualified with: SNOMED CT, DCM and the SNOMED RT that older systems still send.
# CID 4011 "DX View Modifier" (cephalad, caudad, transthoracic, -foramenal, -oral, -orbital, crosstable), and of CID 20
# "Patient Orientation Modifier" what makes the picture another than that of a patient who faces the detector: lateral,
# right and left lateral decubitus, lordotic, semi-prone, knee-chest, stooped-over, curled-up.
NO_PLAIN_FRONTAL = frozenset(
    code
    for codes in (
        "399196006 399162004 272476000 272466003 118438002 278318001 111069",
        "32185000 102535000 102536004 260450008 34026001 23242002 87068006 34108001",
        "F-10318 F-10317 F-10319 R-40799 F-10316 F-10336 F-10390 F-10410",
        _VIEW_CODES[View.OTHER],
    )
    for code in codes.split()
)
# CID 19 and the rest of CID 20: erect, recumbent, semi-erect, standing, sitting, supine, prone, anatomical.
PLAIN = frozenset(
    code
    for codes in (
        "C86043 102538003 102539006 10904000 33586001 40199007 1240000 51845000",
        "F-10440 F-10450 F-10460 F-10320 F-103A0 F-10340 F-10310 F-10326",
    )
    for code in codes.split()
)
VIEW_POSITIONS = {
    "PA": View.PA,
    "AP": View.AP,
    "LL": View.LATERAL,
    "RL": View.LATERAL,
    "LAT": View.LATERAL,
    "LATERAL": View.LATERAL,
    "LLD": View.OTHER,  # left lateral decubitus
    "RLD": View.OTHER,
    "LLO": View.OTHER,
    "RLO": View.OTHER,
    "RAO": View.OTHER,
    "LAO": View.OTHER,
    "RPO": View.OTHER,
    "LPO": View.OTHER,
}
# Whole words, which an underscore parts as a space does: "CHEST_PA", "Thorax p.a.".
DESCRIBED = tuple(
    (view, re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE))
    for view, words in (
        (View.OTHER, r"oblique\w*|obl|decub\w*|lordotic|rao|lao|rpo|lpo|lld|rld|llo|rlo"),
        (View.LATERAL, r"lateral\w*|lat|ll|rl|profile?|seitlich"),
        (View.PA, r"pa|p\.a"),
        (View.AP, r"ap|a\.p"),
        (View.FRONTAL, r"frontal"),
    )
)
# Body Part Examined in the terms of PS3.16 Annex L and as modalities write it; then the codes of CID 4009: chest (two),
# lung, apex, rib, heart, mediastinum, bronchus, trachea, and what includes the chest.
CHEST = re.compile(r"CHEST|T(?:H?O|Ó)RAX|TORACE|LUNG|PULMON|POUMON|RIBS?\b|HEART|MEDIASTINUM|BRONCHUS")
NO_PART = frozenset(
    {"", "UNKNOWN", "OTHER", "UNDEFINED", "UNSPECIFIED", "DEFAULT", "NONE", "BODY", "WHOLEBODY", "TRUNK"}
)
CHEST_CODES = frozenset(
    code
    for codes in (
        "51185008 816094009 39607008 86598002 113197003 80891009 72410000 955009 44567001 416550000 416775004",
        "417437006 416152001 416319003 38266002 T-D3000 T-28000 T-280A0 T-11300 T-32000 T-D3300 T-26000 T-25000",
        "R-FAB55 R-FAB56 R-FAB52 R-FAB53 R-FAB54 T-D0010",
    )
    for code in codes.split()
)
