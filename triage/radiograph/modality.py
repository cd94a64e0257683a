"""PURE: Modality (0008,0060) of an object whose SOP class is one of projection radiographs."""

from __future__ import annotations

_RADIOGRAPH = frozenset({"CR", "DX"})
# PS3.3 C.7.3.1.1.1, current and retired: kinds of images that are no projection radiographs of a chest, whatever their
# SOP class is. RG, RF and OT, and what is no defined term (DR, XR), leave it to the SOP class: systems write them for
# CR and DX.
_ANOTHER_KIND = frozenset(
    kind
    for kinds in (
        "ASMT AR AS AU BDUS BI BMD CD CF CP CS CT CTPROTOCOL DD DG DM DMS DOC DS EC ECG EEG EMG EOG EPS ES FA FID FS",
        "GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS MA MG MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS PLAN",
        "POS PR PT PX REG RESP RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF",
        "ST STAIN TEXTUREMAP TG US VA VF XA XAPROTOCOL XC",
    )
    for kind in kinds.split()
)


def is_another_kind(modality: str) -> bool:
    """Return whether Modality clearly states another kind of image than a radiograph; of several values all must."""
    kinds = {kind.strip() for kind in modality.split("\\") if kind.strip()}
    return bool(kinds) and kinds <= _ANOTHER_KIND


def named(modality: str) -> str:
    """Return the modality for a sentence; only a defined term is repeated, for people write names there."""
    if modality in _RADIOGRAPH | _ANOTHER_KIND:
        return modality
    return "of no defined term" if modality else "empty"
