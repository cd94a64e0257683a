"""The page that ``triage agreement`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

from triage.statistics.intervals import Bounds, exact_interval
from triage.validation.measures.cohort_record import Draws
from triage.validation.measures.published_labels import (
    PublishedLabels,
    agreement_between,
    disputed_reports,
    pairwise_agreement,
    patients,
    read_published_labels,
    reader_against,
    text_labels,
    view_auc,
)
from triage.validation.scores.external import Scores, majority, read_readers


def published_labels_page(data: Path, readers_file: Path | None = None, *, rounds: int = 2000, seed: int = 0) -> str:
    """Return all statistics as a page in Markdown. Raises PublishedLabelsError and PredictionsError."""
    lists, draws = read_published_labels(data), Draws(rounds, seed)
    parts = [_HEAD, *_counts(lists), *_agreements(lists, draws), *_disputed(lists), *_view(lists, draws)]
    if readers_file is not None:
        parts += _readers(read_readers(readers_file), lists)
    return "\n".join(parts) + "\n"


_HEAD = """# Agreement of the paper's labels, recomputed

Made by `triage agreement` from the lists that Tang et al. published and NIH's own table; run it again to check.
Intervals are 95 %: exact binomial for percent agreement, normal with the standard error of Fleiss, Cohen and Everitt
(1969) for kappa, patient-clustered bootstrap elsewhere.
"""


def _counts(lists: PublishedLabels) -> list[str]:
    named = {
        "train": lists.train,
        "validation": lists.validation,
        "test, attending": lists.attending,
        "test, consensus": lists.consensus,
    }
    rows = ["## Counts and patients", "", "| list | images | normal | abnormal | patients |", "|---|---|---|---|---|"]
    for name, calls in named.items():
        ill = sum(value == 1 for value in calls.values())
        rows.append(f"| {name} | {len(calls)} | {len(calls) - ill} | {ill} | {len(patients(calls))} |")
    total = len(lists.train) + len(lists.validation) + len(lists.consensus)
    children = sum(lists.table[name].age < 18 for name in lists.consensus)
    rows += [
        "",
        f"Together {total} images, where the text says 11,596 (10,252 + 1,344).",
        _disjoint(lists),
        f"{children} of the {len(lists.consensus)} test images are of patients younger than 18 years.",
        "",
    ]
    return rows


def _disjoint(lists: PublishedLabels) -> str:
    parts = {"train": lists.train, "validation": lists.validation, "test": lists.consensus}
    shared = {
        f"{one} and {two}": len(patients(parts[one]) & patients(parts[two])) for one, two in combinations(parts, 2)
    }
    if not any(shared.values()):
        return "No patient is in more than one of train, validation and test."
    return "Patients in two lists: " + ", ".join(f"{count} in {pair}" for pair, count in shared.items()) + "."


def _agreements(lists: PublishedLabels, draws: Draws) -> list[str]:
    text = text_labels(lists)
    pairs = (
        ("attending and consensus", lists.attending, lists.consensus, "98.36 %, 0.9673"),
        ("NIH's text labels (table of 2020) and consensus", text, lists.consensus, "96.95 %, 0.9390 (another mining)"),
        ("NIH's text labels (table of 2020) and attending", text, lists.attending, "98.07 % (another mining)"),
    )
    rows = ["## Agreement", "", "| of | agreement | Cohen's kappa | the paper |", "|---|---|---|---|"]
    for name, first, second, stated in pairs:
        found = agreement_between(first, second)
        share = f"{found.agreed} of {found.n}, {_percent(found.agreement)} ({_range(found.agreement_bounds, _percent)})"
        kappa = f"{found.kappa:.4f} ({_range(found.kappa_bounds, _four_digits)})"
        rows.append(f"| {name} | {share} | {kappa} | {stated} |")
    rows += ["", "## The attending as a reader against the consensus", "", "| figure | value |", "|---|---|"]
    for name, figure in reader_against(lists.consensus, lists.attending, draws).items():
        rows.append(f"| {name} | {figure.value:.4f} ({_range(figure.intervals['bootstrap'], _four_digits)}) |")
    rows += [
        "",
        "The attending read the patient's history and priors, the consensus one image: who of them is right is open.",
    ]
    return [*rows, ""]


def _disputed(lists: PublishedLabels) -> list[str]:
    found, images = disputed_reports(lists), len(lists.consensus)
    counts = {
        "table and attending differ": f"{found.disputed} of {images}",
        "there the consensus agrees with the attending": _counted(found.attending, found.disputed),
        "text labels that differ from the consensus": _counted(found.wrong_before, images),
        "and with the attending's label in their place": _counted(found.wrong_after, images),
    }
    return [_DISPUTED, *(f"| {name} | {count} |" for name, count in counts.items()), ""]


_DISPUTED = """## Disputed reports

The paper sent 33 reports whose text label and impression differed to a radiologist, who corrected 26. Its text labels
are not published. With NIH's table of 2020 in their place, the reports in question are those where the table and the
attending's label differ. The consensus saw the images and no report.

| | images |
|---|---|"""


def _counted(part: int, whole: int) -> str:
    return f"{part} of {whole}, {_percent(part / whole)} ({_range(exact_interval(part, whole), _percent)})"


def _view(lists: PublishedLabels, draws: Draws) -> list[str]:
    rows = [
        "## What the view alone reaches",
        "",
        "AUC of “the image is AP” as the only predictor of “abnormal”: compare the AUC of a model with it.",
        "",
        "| labels | AP | AUC |",
        "|---|---|---|",
    ]
    for name, calls in (
        ("test, consensus", lists.consensus),
        ("test, attending", lists.attending),
        ("train", lists.train),
    ):
        known = {image: label for image, label in calls.items() if image in lists.table}
        anterior = sum(lists.table[image].view == "AP" for image in known) / len(known)
        found = view_auc(known, lists.table, draws)
        bounds = _range(found.intervals["bootstrap"], _four_digits)
        rows.append(f"| {name} | {_percent(anterior)} | {found.value:.4f} ({bounds}) |")
    return [*rows, ""]


def _readers(readers: Mapping[str, Scores], lists: PublishedLabels) -> list[str]:
    voted = majority(readers)
    consensus = {Path(name).stem: value for name, value in lists.consensus.items()}
    references: dict[str, Scores] = {"majority of readers": voted, "published consensus": consensus}
    rows = ["## Readers", "", "| reader | against | agreement | Cohen's kappa |", "|---|---|---|---|"]
    for name, calls in readers.items():
        for title, reference in references.items():
            stems = {Path(image).stem: value for image, value in calls.items()}
            others = {Path(image).stem: value for image, value in reference.items()}
            if not stems.keys() & others.keys():
                continue
            found = agreement_between(stems, others)
            rows.append(f"| {name} | {title} | {_percent(found.agreement)} of {found.n} | {found.kappa:.4f} |")
    if len(readers) > 2:
        found_pairs = pairwise_agreement(readers)
        share = f"{_percent(found_pairs.agreement[0])} ± {_percent(found_pairs.agreement[1])}"
        kappa = f"{found_pairs.kappa[0]:.4f} ± {found_pairs.kappa[1]:.4f}"
        rows += ["", f"Over {found_pairs.pairs} pairs of readers: agreement {share}, kappa {kappa} (mean ± SD)."]
    return [*rows, ""]


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _four_digits(value: float) -> str:
    return f"{value:.4f}"


def _range(bounds: Bounds, text: Callable[[float], str]) -> str:
    return " to ".join(text(bound) for bound in bounds)
