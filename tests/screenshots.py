"""Make the pictures of the pages in the documentation, of drawn chests: ``python -m tests.screenshots docs/images``.

Names behind the folder (``list-dark study-de``) make these alone.
No radiograph of a person is in them, and no name of one. Needs Debian's Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, repeat
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pydicom import dcmread

from tests.support.browser import chromium
from tests.support.builders import an_assessment
from tests.support.findings import a_score, scored
from tests.support.redis_server import RedisServer
from tests.support.service import receive
from tests.support.signed_in_web import JUDGE, READER, SignedInWeb, make_passwords_quick, signed_in_web
from triage.adjudication.acts import Objection, disagree
from triage.adjudication.journal import Contradicted
from triage.decision.decide import decide
from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import PriorityPolicy, Tag
from triage.dicom.identity import patient_marks
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.worklist.presence import OpenPage
from triage.worklist.reader_acts import Act, Marking, Via, mark


@dataclass(frozen=True)
class Drawn:
    """A study of one drawn chest. ``minutes`` since it arrived."""

    patient: str
    tag: Tag
    minutes: float
    ward: str = "Ward 3"
    days: int = 0
    age: int = 61
    sex: str = "F"
    seed: int = 1


STUDIES = (
    Drawn("Phantom^Ada", Tag.ABNORMAL, 9, "Emergency", seed=1),
    Drawn("Phantom^Ada", Tag.NORMAL, 60 * 24 * 90, "Ward 3", 90, seed=1),
    Drawn("Phantom^Bruno", Tag.ABNORMAL, 22, "ICU 1", age=74, sex="M", seed=3),
    Drawn("Phantom^Clara", Tag.NOT_ASSESSED, 31, "Ward 5", age=38, seed=4),
    Drawn("Phantom^David", Tag.NORMAL, 47, "Emergency", age=29, sex="M", seed=5),
    Drawn("فانتوم^ليلى", Tag.NORMAL, 58, "Ward 3", age=44, seed=6),
    Drawn("Phantom^Emil", Tag.NORMAL, 75, "Ward 2", age=67, sex="M", seed=7),
    Drawn("Phantom^Frieda", Tag.NOT_ASSESSED, 90, "Outpatients", age=55, seed=8),
    Drawn("Phantom^Georg", Tag.NORMAL, 118, "Ward 5", age=81, sex="M", seed=9),
)


def file_of(drawn: Drawn) -> bytes:
    """Return the DICOM file of a study."""
    pixels = draw(drawn.seed, rows=900, columns=820, opacity=drawn.tag is Tag.ABNORMAL)
    name = f"{drawn.patient} {drawn.days}"
    subject = PhantomSubject(study=name, accession=f"A{1000 + drawn.seed}{drawn.days:02d}", age=f"{drawn.age:03d}Y")
    taken = time.localtime(time.time() - 60 * drawn.minutes - 240)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(BytesIO(as_dicom(pixels, subject)))
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName, dataset.PatientSex = drawn.patient, drawn.sex
        dataset.PatientID, dataset.IssuerOfPatientID = f"P{sum(map(ord, drawn.patient))}", "HOSPITAL"
        dataset.StudyDate = dataset.AcquisitionDate = time.strftime("%Y%m%d", taken)
        dataset.StudyTime = dataset.AcquisitionTime = time.strftime("%H%M%S", taken)
        dataset.StudyDescription, dataset.CurrentPatientLocation = "Chest PA", drawn.ward
        dataset.ImagerPixelSpacing = [0.43, 0.43]
        written = BytesIO()
        dataset.save_as(written)
    return written.getvalue()


def listed(sources: Sources, drawn: Drawn) -> str:
    """List a study, and return its Study Instance UID."""
    content, at = file_of(drawn), time.time() - 60 * drawn.minutes
    instance = receive(sources.spool, content, at)
    uid = instance.study_instance_uid
    score = 0.91 if drawn.tag is Tag.ABNORMAL else 0.08
    more = (
        scored(a_score("lung_opacity", score), a_score("effusion", score / 3))
        if drawn.tag is not Tag.NOT_ASSESSED
        else {}
    )
    assessment = an_assessment(
        study_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        sop_instance_uid=instance.sop_instance_uid,
        content_digest=instance.content_digest,
        accession_number=f"A{1000 + drawn.seed}{drawn.days:02d}",
        calling_ae_title=f"DX_ROOM{2 if drawn.tag is Tag.ABNORMAL or drawn.days else 1}",
        received_at=at,
        assessed_at=at + 1,
        reasons=(Reason.AGE_UNKNOWN,) if drawn.tag is Tag.NOT_ASSESSED else (),
        age_years=float(drawn.age),
        patient=patient_marks(dcmread(BytesIO(content))),
        **{"tag": drawn.tag, "probability": None, **more},
    )
    sources.spool.write_assessment(instance, to_record(assessment))
    decision = decide([assessment], PriorityPolicy(), at + 1)
    with sources.spool.study_lock(uid):
        sources.spool.write_decision(uid, to_record(decision))
    sources.spool.file(instance)
    sources.worklist.put(decision)
    return uid


@dataclass(frozen=True)
class Screen:
    """A theme and a language."""

    theme: Literal["light", "dark"]
    language: str = "en-GB"

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return ("-dark" if self.theme == "dark" else "") + ("-de" if self.language.startswith("de") else "")


@contextmanager
def signed_in(browser: Browser, home: SignedInWeb, who: tuple[str, str], screen: Screen) -> Iterator[Page]:
    """A page of a person in a theme and a language."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 800},
        color_scheme=screen.theme,
        locale=screen.language,
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(f"{home.address}/sign-in")
    page.locator("input[name=name]").fill(who[0])
    page.locator("input[name=password]").fill(who[1])
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr").first).to_be_visible()
    yield page
    context.close()


def the_list(page: Page) -> None:
    """Show the list with a filter, and the strip that counts what it hides."""
    page.locator("#filter").click()
    page.locator("#by-sender").select_option("DX_ROOM1")
    page.locator("#order").select_option("patient_name")
    expect(page.locator("#show-first")).to_be_visible()


def the_study(page: Page) -> None:
    """Show a study next to the patient's earlier one, with the ruler."""
    page.locator("#rows tr", has_text="Ada").click()
    expect(page.locator(".other-study").first).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator("#caption-2")).not_to_be_empty()
    page.wait_for_timeout(800)
    page.keyboard.press("l")
    box = page.locator("#image").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.62)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.62, steps=4)
    page.mouse.up()


def the_cases(page: Page) -> None:
    """Show a case to be judged."""
    page.locator("#to-cases").click()
    page.locator(".case").first.click()
    expect(page.locator("#judgement")).to_be_visible()
    page.wait_for_timeout(800)


PAGES: dict[str, tuple[tuple[str, str], Callable[[Page], None]]] = {
    "list": (READER, the_list),
    "study": (READER, the_study),
    "cases": (JUDGE, the_cases),
}


ALL = (*PAGES, *(f"{name}-dark" for name in PAGES), "study-de")


def small(picture: bytes, to: Path) -> None:
    """Write a picture with few colours."""
    colours = Image.open(BytesIO(picture)).convert("RGB")
    image = colours.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(to, optimize=True)


def main(folder: Path, wanted: Sequence[str] = ()) -> None:
    """Make the ``wanted`` pictures, or all."""
    with (
        tempfile.TemporaryDirectory() as work,
        pytest.MonkeyPatch.context() as patch,
        RedisServer() as redis,
        chromium() as browser,
    ):
        make_passwords_quick(patch)
        with signed_in_web(redis, Spool.open(Path(work) / "spool"), Path(work)) as home:
            uids = [listed(home.sources, each) for each in STUDIES]
            marking = Marking(Act.READ, time.time() - 89 * 86400, "dr. stone", Via.PAGE)
            mark(home.sources.spool, home.sources.worklist, uids[1], marking)
            said = Objection(
                "dr. stone", time.time() - 600, Via.PAGE, Contradicted.MODEL, "lung_opacity", 0, "a skin fold"
            )
            for uid in (uids[0], uids[2]):
                disagree(home.sources.spool, uid, said)
            screens = [Screen("light"), Screen("dark"), Screen("light", "de-DE")]
            for (name, (who, show)), screen in chain.from_iterable(
                zip(PAGES.items(), repeat(each)) for each in screens
            ):
                title = f"{name}{screen.suffix}"
                if title not in (wanted or ALL):
                    continue
                home.sources.presence.renew(OpenPage("f" * 32, "dr. stone", uids[2]))
                with signed_in(browser, home, who, screen) as page:
                    show(page)
                    small(page.screenshot(), folder / f"{title}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
