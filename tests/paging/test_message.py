"""The words of a page: bounded, and on lines of its own making."""

from __future__ import annotations

from triage.paging.message import PagedFinding, PageFacts, page_of


def test_a_page_fits_into_a_chat_whatever_was_found_and_no_text_makes_a_line():
    findings = tuple(PagedFinding(f"a finding\n\r\u2028 {n} {'x' * 500}", "m\n1", 0.5, 0.4) for n in range(14))
    facts = PageFacts(
        "id", 3, 0.0, 900.0, 1800.0, findings, "A\n1", "ROE^JANE\u202e", "1.2.3", "https://t/studies/1.2.3"
    )
    text = page_of(facts).text
    assert len(text) < 2000
    assert text.count("Finding: ") == 4 and "And 10 further findings." in text
    lines = len(page_of(PageFacts("id", 3, 0.0, 900.0, 1800.0, findings[:1], "A1", "R", "1", "x")).text.splitlines())
    assert len(text.splitlines()) == lines + 3 * 2 + 1
    assert "\u202e" not in text


def test_a_name_from_right_to_left_is_isolated_and_any_other_is_as_it_is():
    name = "\u05de\u05e9\u05d4"
    facts = PageFacts("id", 3, 0.0, 900.0, 1800.0, (), "A1", name, contact=f"opened by {name}", contact_at=60.0)
    text = page_of(facts).text
    assert f"Patient: \u2068{name}\u2069\n" in text and "Accession number: A1\n" in text
    assert f"was \u2068opened by {name}\u2069 at 1970-01-01 00:01" in text
