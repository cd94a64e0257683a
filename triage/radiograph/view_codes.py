"""Codes of views (CID 4010, 4011 and others); the words are in views.toml."""

from __future__ import annotations

from triage.radiograph.types import View

# CID 4010 "DX View": SNOMED CT, and the SNOMED RT that older systems still send. The rest of it is oblique, axial, ...
_VIEW_CODES = {
    View.FRONTAL: "399033003 R-10202",
    View.PA: "272479007 R-10214 R-40888",
    View.AP: "399348003 R-10206",
    # Lateral, left, right, lateral-medial, medial-lateral, sagittal.
    View.LATERAL: "399067008 399173006 399198007 399352003 399260004 30730003 "
    "R-102CD R-10236 R-10232 R-10228 R-10224 G-A145",
    # Axial, caudo-cranial, cranio-caudal, tangential: of the chest, it is one from the front that is angled.
    View.UNKNOWN: "399061009 399196006 399162004 399110001 R-10241 R-10244 R-10242 R-102C2",
    View.OTHER: "399038007 399225005 399059000 399099002 399288005 399135007 260427002 "
    "399236003 399368009 399356000 399312000 399184004 399182000 260426006 399132005 399325008 399160007 "
    "399004004 399006002 R-10210 R-10250 R-10216 R-10230 R-10248 R-10220 R-40783 R-10234 "
    "R-10226 R-40985 R-10218 R-10208 R-10238 R-102C1 R-40782 R-10252 R-10254 R-10204 R-10246 R-10212",
}
VIEW_OF_CODE = {code: view for view, codes in _VIEW_CODES.items() for code in codes.split()}
# What a frontal code can be qualified with: SNOMED CT, DCM and the SNOMED RT that older systems still send.
# CID 4011 "DX View Modifier" (cephalad, caudad, transthoracic, -foramenal, -oral, -orbital, crosstable), and of CID 20
# "Patient Orientation Modifier" what makes the picture another than that of a patient who faces the detector: lateral,
# right and left lateral decubitus, lordotic, semi-prone, knee-chest, stooped-over, curled-up. An angled frontal
# (lordotic, cephalad, caudad, axial, tangential) still shows the chest from the front: it is scored, and not assessed.
ANGLED = frozenset(f"{_VIEW_CODES[View.UNKNOWN]} 260450008 R-40799".split())
NO_PLAIN_FRONTAL = ANGLED | frozenset(
    code
    for codes in (
        "272476000 272466003 118438002 278318001 111069",
        "32185000 102535000 102536004 34026001 23242002 87068006 34108001",
        "F-10318 F-10317 F-10319 F-10316 F-10336 F-10390 F-10410",
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
