"""Settings of which images are scored."""

from __future__ import annotations

from pydantic import Field

from triage.setting_types import AETitle, Pattern, Section, Word


class EligibilitySettings(Section):
    """Knowledge of a site about its images."""

    frontal_descriptions: tuple[Pattern, ...] = Field(
        (),
        description="Regular expressions; an image whose series, protocol or study description matches one, and whose "
        "view no attribute states, is a frontal.",
    )
    frontal_ae_titles: tuple[AETitle, ...] = Field(
        (), description="Calling AE titles that send frontals only, where no attribute states the view."
    )
    chest_ae_titles: tuple[AETitle, ...] = Field(
        (), description="Calling AE titles that send chests only, where nothing names a part of the body."
    )
    chest_words: tuple[Word, ...] = Field(
        (),
        description="Words or phrases of your modalities that mean the chest, in Body Part Examined and descriptions. "
        "Whole words; case, width and accents do not matter.",
    )
    other_part_words: tuple[Word, ...] = Field(
        (), description="Words that clearly mean another part of the body: such images are listed and not counted."
    )
    lateral_words: tuple[Word, ...] = Field(
        (), description="Words that mean a lateral view: such images are listed and not counted."
    )
    doubtful_view_words: tuple[Word, ...] = Field(
        (),
        description="Words for views that are no plain frontals (axial, inclined): such images are `view_unverified`, "
        "whatever else is said of them.",
    )
    ignored_words: tuple[Word, ...] = Field(
        (), description="Words of our lists that mean something else at your site, and are not to be heard."
    )
    rejection_ae_titles: tuple[AETitle, ...] = Field(
        (),
        description="Calling AE titles whose rejection notes (IHE IOCM) count. Where one says that images are wrong "
        "(113037, 113038), it also corrects what was delivered as raised. Empty: the notes of every sender take images "
        "out of the decision, and only a person corrects what was delivered as raised.",
    )
