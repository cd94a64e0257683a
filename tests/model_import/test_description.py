"""A description is read table by table: all its mistakes at once, each with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.foreign_models import description
from triage.model_import.description import InputDescription
from triage.model_import.description_file import DescriptionFile, finding_mistakes, read_description
from triage.model_import.errors import ImportRefusedError
from triage.model_import.normalisation import share


def read(folder: Path, text: str) -> DescriptionFile:
    file = folder / "given.toml"
    file.write_text(text)
    return read_description(file)


def mistakes(folder: Path, text: str) -> list[str]:
    found = read(folder, text)
    return found.places.readable([*found.mistakes, *finding_mistakes(found)], folder / "given.onnx")


def changed(*changes: tuple[str, str]) -> str:
    text = description()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if words in line)


def test_a_description_without_mistakes(tmp_path: Path) -> None:
    found = read(tmp_path, description())
    assert not found.mistakes and not list(finding_mistakes(found))
    whole = found.whole()
    assert [each.name for each in whole.findings] == ["effusion", "mass"]
    assert whole.intended_use.age_below is None and not whole.distance.without


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = changed(
        ('version = "1"', 'version = "one two"'),
        ('fit = "stretch"', 'fit = "squeeze"'),
        ('name = "effusion"', 'name = "Pleural effusion"'),
        ("index = 2", "index = -2\ncolour = 3"),
        ("threshold = 0.25", "threshold = 25"),
        ("age_from = 18", "age_from = 18\nage_below = 6"),
        ("[abnormal]", "[abnormality]"),
    )
    found = mistakes(tmp_path, text)
    expected = {
        "version": "version",
        "input.fit": 'fit = "squeeze"',
        "findings[1].name": "Pleural effusion",
        "findings[1].index": "index = -2",
        "findings[1].colour": "colour",
        "findings[2]": "[[findings]]",
        "intended_use": "[intended_use]",
        "abnormality": "[abnormality]",
    }
    assert len(found) == len(expected)
    for key, words in expected.items():
        if key == "findings[2]":
            number = [at for at, line in enumerate(text.splitlines(), start=1) if line == words][1]
        else:
            number = line_of(text, words)
        assert any(each.startswith(f"{tmp_path / 'given.toml'}, line {number}: {key}: ") for each in found), (
            key,
            found,
        )
    assert any("did you mean abnormal?" in each for each in found)
    assert any("of the probability or score: between 0 and 1, not of a logit" in each for each in found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[input]", "[inputs]"), "input: is missing"),
        (('layout = "NHWC"\n', ""), "input.layout: is missing"),
        (("channels = 3", "channels = 4"), "input.channels"),
        (("channels = 3", "channels = 1"), "three channels"),
        (('normalisation = "imagenet"', 'normalisation = "own"'), "needs levels and range"),
        (('normalisation = "imagenet"', 'normalisation = "imagenet"\nmean = [0.5]'), "set normalisation to own"),
        (('normalisation = "imagenet"', 'normalisation = "imagenet"\npercentiles = [2, 98]'), "levels are full"),
        (('kind = "logit"', 'kind = "logits"'), "findings[1].kind"),
        (('kind = "logit"\n', ""), "either kind, of an output, or rule"),
        (('kind = "logit"', 'kind = "logit"\nrule = { kind = "any", of = ["mass"] }'), "either kind"),
        (('chosen = "fixed in advance"', 'chosen = " "'), "chosen must say something"),
        (('name = "mass"', 'name = "effusion"'), "findings[2].name: effusion is the name of finding 1 too"),
        (('modalities = ["CR", "DX"]', "modalities = []"), "intended_use.modalities"),
        (('views = ["PA", "AP"]', 'views = ["LL"]'), "intended_use.views"),
        (("age_from = 18", "age_from = -1"), "intended_use.age_from"),
        (("[abnormal]", '[distance]\nwithout = "yes"\n[abnormal]'), "in a sentence"),
        (
            ("[abnormal]", '[distance]\nwithout = "we know that it is missing"\nfeatures = "x"\n[abnormal]'),
            "features are for a distance",
        ),
        (("threshold = 0.5", "threshold = true"), "findings[1].threshold: must be a number"),
        (("threshold = 0.5", 'threshold = "0.5"'), "findings[1].threshold: must be a number"),
        (("threshold = 0.5", "threshold = 0"), "not 0 or 1"),
        (("threshold = 0.5", "threshold = 1.0"), "not 0 or 1"),
        (("threshold = 0.5", "threshold = -0.5"), "not of a logit"),
        (("threshold = 0.5", "threshold = inf"), "not of a logit"),
        (("threshold = 0.5", 'threshold = 0.5\ncounts = "no"'), "findings[1].counts: must be true or false"),
        (("index = 2", 'index = "2"'), "findings[1].index: must be a whole number"),
        (("index = 2", "index = true"), "findings[1].index: must be a whole number"),
        (("age_from = 18", 'age_from = "18"'), "intended_use.age_from: must be a number"),
        (("age_from = 18", 'age_from = 18\nstations = ["ROOM1", " "]'), "stations must not have an empty name"),
        (("[abnormal]", "[map]\n[abnormal]"), "map.output: is missing"),
        (('title = "Pleural effusion"', 'title = "Effusion\\nOBX|2"'), "one line of printable characters"),
        (('title = "Pleural effusion"', 'title = "Ergu\u202e"'), "one line of printable characters"),
        (("index = 2", 'index = 2\ncode = { value = "6004a", scheme = "SCT", meaning = "x" }'), "is no code of SCT"),
        (("index = 2", 'index = 2\ncode = { value = "RPID1", scheme = "RADLEX", meaning = "x" }'), "no code of RADLEX"),
        (
            ("index = 2", 'index = 2\ncode = { value = "60046008", scheme = "SCT", meaning = "Pneumothorax" }'),
            "60046008 of SCT is the code of 'Pleural effusion', not of 'Pneumothorax'",
        ),
        (
            (
                "threshold = 0.5",
                "threshold = 0.5\nsensitivity = { value = 7, low = 9, high = 1, method = '', n = 5 }",
            ),
            "sensitivity must be 0 to 1",
        ),
        (("[[findings]]", "[findings]"), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_of_each_kind(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    text = changed(change)
    if change[0] == "[[findings]]":
        with pytest.raises(ImportRefusedError, match=r"given\.toml"):  # no TOML any more
            mistakes(tmp_path, text)
        return
    assert any(says in each for each in mistakes(tmp_path, text)), mistakes(tmp_path, text)


@pytest.mark.parametrize("table", ["findings = []", "findings = 0", 'findings = "effusion"', "findings = [1, []]"])
def test_findings_that_are_no_tables_are_refused(tmp_path: Path, table: str) -> None:
    text = description()
    found = mistakes(tmp_path, f"{table}\n{text.partition('[[findings]]')[0]}{text[text.index('[abnormal]') :]}")
    assert any("line 1: findings" in each and "table" in each for each in found), found


@pytest.mark.parametrize("table", ["input = 5", "[[input]]\n", "input = []"])
def test_a_table_that_is_none_is_told_with_its_line(tmp_path: Path, table: str) -> None:
    text = description()
    found = mistakes(tmp_path, f"{text[: text.index('[input]')]}{table}\n{text[text.index('[[findings]]') :]}")
    assert any("input: must be a table" in each and ", line " in each for each in found), found


def test_a_rule_without_weight_is_refused(tmp_path: Path) -> None:
    rule = 'rule = { kind = "logistic", of = ["mass"], weights = [0.0] }'
    found = mistakes(tmp_path, changed(('index = 2\nkind = "logit"', rule)))
    assert any("a weight of 0" in each for each in found), found


def test_a_mark_of_windows_before_the_text_and_its_ends_of_lines_are_taken(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufeff" + description().replace("\n", "\r\n"))
    assert not found.mistakes and found.whole().name == "hospital"


def test_lists_that_are_nested_too_deeply_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="nested too deeply"):
        read(tmp_path, f"x = {'[' * 5000}{']' * 5000}\n")
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path, tmp_path / "pipe.toml"):
        with pytest.raises(ImportRefusedError, match="is no file"):
            read_description(path)


def test_rules_with_a_hole_or_a_circle(tmp_path: Path) -> None:
    rule = '\n[[findings]]\nname = "{}"\nrule = {{ kind = "any", of = ["{}"] }}\npositive_class = "x"\n'
    rule += 'negative_class = "y"\nthreshold = 0.5\nchosen = "fixed"\n'
    found = mistakes(tmp_path, description() + rule.format("any_a", "any_b") + rule.format("any_b", "any_a"))
    assert len(found) == 2 and all("leads back to itself" in each for each in found)
    (hole,) = mistakes(tmp_path, description() + rule.format("any_a", "nodule"))
    assert "names nodule, and there is no such finding" in hole
    assert not mistakes(tmp_path, description() + rule.format("any_a", "mass"))


@pytest.mark.parametrize(
    "changes", [('name = "mass"\n', ""), ("threshold = 0.25\n", ""), ("threshold = 0.25", "threshold = nan")]
)
def test_an_output_without_a_name_or_a_threshold_is_no_finding(tmp_path: Path, changes: tuple[str, str]) -> None:
    found = read(tmp_path, changed(changes))
    assert not found.mistakes and [each.is_finding for each in found.findings.values()] == [True, False]


def test_no_finding_at_all_is_a_mistake(tmp_path: Path) -> None:
    (says,) = mistakes(tmp_path, changed(("threshold = 0.25\n", ""), ("threshold = 0.5\n", "")))
    assert "nothing would ever be ABNORMAL" in says
    (says,) = mistakes(
        tmp_path, changed(("threshold = 0.25\n", ""), ("threshold = 0.5\n", "threshold = 0.5\ncounts = false\n"))
    )
    assert "nothing would ever be ABNORMAL" in says


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"x = '''" + b"a" * 2**20 + b"'''"])
def test_a_file_that_is_no_description_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "given.toml"
    file.write_bytes(content)
    with pytest.raises(ImportRefusedError, match=r"given\.toml"):
        read_description(file)
    with pytest.raises(ImportRefusedError, match="No such file"):
        read_description(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("keys", "mean", "deviation", "in_graph"),
    [
        ({"channels": 1, "normalisation": "cxr-triage"}, 0.5, 0.25, ()),
        ({"channels": 3, "normalisation": "torchxrayvision"}, 0.5, 1 / 2048, ()),
        ({"channels": 3, "normalisation": "imagenet"}, 0.0, 1.0, (0.485, 0.456, 0.406)),
        ({"channels": 1, "normalisation": "own", "levels": "full", "range": (0, 255)}, 0.0, 1 / 255, ()),
        ({"channels": 1, "normalisation": "own", "levels": "full", "range": (255, 0)}, 0.0, 1.0, (1.0,)),
        (
            {
                "channels": 3,
                "normalisation": "own",
                "levels": "full",
                "range": (0, 255),
                "mean": (51,),
                "deviation": (51,),
            },
            0.2,
            0.2,
            (),
        ),
    ],
)
def test_what_the_service_normalises_and_what_the_graph(
    keys: dict[str, object], mean: float, deviation: float, in_graph: tuple[float, ...]
) -> None:
    described = InputDescription.model_validate({"layout": "NCHW", "fit": "stretch", **keys})
    shared = share(described, 64)
    assert (shared.spec.mean, shared.spec.deviation) == pytest.approx((mean, deviation))
    assert shared.mean == pytest.approx(in_graph)
    assert shared.spec.levels == ("percentiles" if keys["normalisation"] == "cxr-triage" else "full")
