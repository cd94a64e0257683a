"""The closed list of reasons for a tag of an image or a study, each with its meaning. Pure."""

from enum import Enum, StrEnum
from typing import Self


class ReasonGroup(Enum):
    """Bearing of a reason on the tag; the value is the heading in the reference of reasons."""

    LISTED = "Listed with the study, not counted"
    NOT_SCORED = "The image should have been scored and was not"
    SCORED = "Scored, but the negative cannot be called normal"
    STUDY = "Of the whole study"


class Reason(StrEnum):
    """One reason of a tag. The values are an interface: worklists, metrics and messages carry them.

    Attributes:
        group: how it bears on the tag.
        meaning: what it means and what to do, for ``triage explain``, the page and the reference.
    """

    group: ReasonGroup
    meaning: str

    def __new__(cls, value: str, group: ReasonGroup = ReasonGroup.NOT_SCORED, meaning: str = "") -> Self:
        """Make the member ``value``. The defaults are for type checkers, which take ``Reason("…")`` for this call."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.group = group
        member.meaning = meaning
        return member

    NOT_A_RADIOGRAPH = (
        "not_a_radiograph",
        ReasonGroup.LISTED,
        "It is not a CR or DX image (a report, a secondary capture, another modality). It is kept and listed "
        "with the study and changes nothing. Nothing to do.",
    )
    FOR_PROCESSING = (
        "for_processing",
        ReasonGroup.LISTED,
        "It is the raw image before the vendor's processing (Presentation Intent Type FOR PROCESSING). Its "
        "FOR PRESENTATION twin is the one that is scored: see that the modality sends that one too.",
    )
    NOT_CHEST = (
        "not_chest",
        ReasonGroup.LISTED,
        "Body Part Examined or Anatomic Region Sequence clearly say another part than the chest. Nothing to "
        "do, unless the modality's protocol is set to the wrong body part.",
    )
    NOT_FRONTAL = (
        "not_frontal",
        ReasonGroup.LISTED,
        "Its attributes say lateral, oblique or decubitus. Only frontal images are scored. Nothing to do.",
    )
    LOCALIZER = (
        "localizer",
        ReasonGroup.LISTED,
        "It is a localizer, not a diagnostic image. Nothing to do.",
    )
    REJECTED = (
        "rejected",
        ReasonGroup.LISTED,
        "A rejection note (IHE IOCM) names the image: it must not be used, and changes no tag any more; the detail "
        "has the note and its title. If all images of a study are rejected, or one that was abnormal, the study has to "
        "be read without us, or is replaced by another.",
    )
    REJECTION_NOTE = (
        "rejection_note",
        ReasonGroup.LISTED,
        "It is a rejection note (a Key Object Selection of IHE IOCM). The detail says how many images it takes out of "
        "the decision, or why it takes out none: then find out who sent it, and whether the images are right.",
    )
    UNDECODABLE = (
        "undecodable",
        ReasonGroup.NOT_SCORED,
        "Its pixels could not be decoded, or the data set is damaged. See the detail; have it sent "
        "again, in another transfer syntax if need be, and keep this one for a bug report.",
    )
    MULTI_FRAME = (
        "multi_frame",
        ReasonGroup.NOT_SCORED,
        "It has several frames, or holds more than one image; the models read single images. It has to be "
        "read without us.",
    )
    VIEW_UNVERIFIED = (
        "view_unverified",
        ReasonGroup.NOT_SCORED,
        "Nothing says that it is a plain frontal view, two attributes contradict each other, or it is angled "
        "(axial, lordotic). If this modality sends frontals only, say so in eligibility.frontal_ae_titles or "
        "eligibility.frontal_descriptions; if a word was taken for another view, in "
        "eligibility.ignored_words.",
    )
    BODY_PART_UNVERIFIED = (
        "body_part_unverified",
        ReasonGroup.NOT_SCORED,
        "The model found nothing, but nothing says that it is a chest: Body Part Examined, Anatomic Region "
        "Sequence and the descriptions are empty, contradict each other, name more than the chest, or use "
        "words that we do not know. Correct the modality's protocol; or state what your site knows: "
        "eligibility.chest_words, eligibility.chest_ae_titles. If it is another part, "
        "eligibility.other_part_words.",
    )
    ORIENTATION_UNVERIFIED = (
        "orientation_unverified",
        ReasonGroup.NOT_SCORED,
        "By its pixels it does not look like a chest that stands upright, so the score is not used. Look at "
        "the image: if it is turned or upside down, turn it at the modality and send it again. If upright "
        "images of one modality are refused regularly, report it.",
    )
    WIDE_BORDER = (
        "wide_border",
        ReasonGroup.NOT_SCORED,
        "Too much of it is a border of one grey, or lies outside the shutter: the model knows images that are "
        "filled by the chest. Crop it to the exposed field at the modality and send it again.",
    )
    AGE_UNKNOWN = (
        "age_unknown",
        ReasonGroup.NOT_SCORED,
        "It has neither Patient's Age nor a birth date with a date of acquisition, or what it has cannot be "
        "the age of a human patient (see the detail), and each model is for an age range. Have the "
        "modality send it; where none is stated, a setting lets the adult model take such patients "
        "(models.adult_when_age_unknown).",
    )
    AGE_NOT_COVERED = (
        "age_not_covered",
        ReasonGroup.NOT_SCORED,
        "No installed model is for a patient of this age. It has to be read without us.",
    )
    OUT_OF_DISTRIBUTION = (
        "out_of_distribution",
        ReasonGroup.NOT_SCORED,
        "Its pixels do not look like the images the model was trained on, so the score is not used. Look at "
        "the image: another body part, an inverted or blank image, or an unusual detector? If good chest "
        "images of one modality are refused regularly, have the model validated on that modality.",
    )
    MODEL_DISABLED = (
        "model_disabled",
        ReasonGroup.NOT_SCORED,
        "The model for this patient is switched off. `triage model NAME --enable` switches it on for what "
        "comes from then on; this image has to be read without us.",
    )
    MODEL_SHADOW = (
        "model_shadow",
        ReasonGroup.NOT_SCORED,
        "The model for this patient runs in shadow: it scores and records, and changes nothing. Take it out "
        "of models.shadow when the site has accepted it.",
    )
    NO_MODEL = (
        "no_model",
        ReasonGroup.NOT_SCORED,
        "No usable model is installed. See models.path, and `triage model` for what was found there.",
    )
    WORKER_FAILURE = (
        "worker_failure",
        ReasonGroup.NOT_SCORED,
        "Scoring failed in every try and the object is a dead letter. See the error below and the log of "
        "`triage work`; after the cause is gone: `triage dead-letters --requeue KEY`.",
    )
    FINDING_NOT_COVERED = (
        "finding_not_covered",
        ReasonGroup.SCORED,
        "The model found nothing of what it looks for, but it does not look for everything: that is not the "
        "same as normal. Nothing to do.",
    )
    FINDING_CONTRADICTS = (
        "finding_contradicts",
        ReasonGroup.SCORED,
        "The findings that decide are negative, and another finding of the model, which does not decide, is "
        "positive. The study is read without a tag; look at the finding.",
    )
    NO_DISTRIBUTION = (
        "no_distribution",
        ReasonGroup.SCORED,
        "The model found nothing, but it cannot tell whether an image is like those it was trained on: the site "
        "installed it without such a check, so that it never says normal.",
    )
    RECALLED = (
        "recalled",
        ReasonGroup.NOT_SCORED,
        "What a model said of it was recalled (`triage recall`), and the object is no longer kept: it cannot be scored "
        "again. It has to be read without us; `triage explain` has who recalled it, when and why.",
    )
    PLUGIN_ALONE = (
        "plugin_alone",
        ReasonGroup.SCORED,
        "The model found nothing, but a plug-in loads it or makes one of its findings, and that alone never says "
        "normal: a model without plug-ins has to say so for the same image.",
    )
    NO_FRONTAL_IMAGE = (
        "no_frontal_image",
        ReasonGroup.STUDY,
        "The study has no image for us to score (yet). If it should have a frontal chest image, see that the "
        "PACS sends it.",
    )
    PATIENT_MISMATCH = (
        "patient_mismatch",
        ReasonGroup.STUDY,
        "Objects of this study name different patients: another Patient ID or issuer of it, another birth "
        "date, or names without a word in common. Find out whose image it is, correct it in the PACS, and "
        "have it sent again; until then the study is never normal.",
    )


LISTED_NOT_COUNTED = frozenset(reason for reason in Reason if reason.group is ReasonGroup.LISTED)
"""Reasons of objects that are shown with the study and change no tag."""
