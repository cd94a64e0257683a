"""Figures against independent implementations, published values and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, cohen_kappa_score, confusion_matrix, f1_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from triage.statistics.calibration import brier, brier_and_error_bounds, calibration_error, decision_curve, reliability
from triage.statistics.intervals import (
    Resampling,
    auc,
    auc_within,
    delong,
    disjoint_pairs,
    exact_interval,
    holm,
    mcnemar,
    patient_bootstrap,
    percentile_interval,
    t_test,
    weighted_auc,
    weighted_auc_within,
)
from triage.statistics.reader_agreement import reader_agreement
from triage.statistics.sample_size import allowed_misses, fewest_for, most_certifiable, positives_needed
from triage.validation.measures.figures import auc_figure, confusion_figures, main_bounds, share_figure
from triage.validation.scores.scored import CohortImage, ScoredCohort, per_image, per_study


def fixed(seed: int = 1, n: int = 300, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(float)
    first = labels + rng.normal(0, 1, n)
    second = labels * 0.5 + 0.5 * first + rng.normal(0, 0.7, n)
    if ties:
        first, second = first.round(1), second.round(1)
    return labels, first, second


def direct_delong(labels: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components straight from the kernel of all m x n pairs; no ranks, no shared code."""
    positive = labels == 1
    rows, columns = [], []
    for each in scores:
        kernel = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in each[~positive]] for x in each[positive]]
        rows.append([sum(row) / len(row) for row in kernel])
        columns.append([sum(row[j] for row in kernel) / len(kernel) for j in range(len(kernel[0]))])
    m, n = len(rows[0]), len(columns[0])
    means = [sum(row) / m for row in rows]

    def covariance(parts: list[list[float]], a: int, b: int) -> float:
        pairs = zip(parts[a], parts[b], strict=True)
        return sum((x - means[a]) * (y - means[b]) for x, y in pairs) / (len(parts[a]) - 1)

    k = range(len(scores))
    found = [[covariance(rows, a, b) / m + covariance(columns, a, b) / n for b in k] for a in k]
    return np.array(means), np.array(found)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_the_direct_formula(ties: bool) -> None:
    labels, first, second = fixed(ties=ties)
    found = delong(labels, first, second)
    aucs, covariance = direct_delong(labels, first, second)
    np.testing.assert_allclose(found.aucs, aucs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-14)
    assert found.aucs[0] == pytest.approx(roc_auc_score(labels, first), abs=1e-12)


def test_delong_gives_the_published_figures_of_hanley_and_mcneil_s_ratings() -> None:
    """Hanley and McNeil 1982, table I: 109 CT images rated 1 to 5. Stata's manual prints 0.8932, SE 0.0307 for them."""
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    ratings = [rating for counts in (normal, abnormal) for rating, n in enumerate(counts, 1) for _ in range(n)]
    labels = np.repeat([0.0, 1.0], [sum(normal), sum(abnormal)])
    found = delong(labels, np.array(ratings, dtype=float))
    assert found.aucs[0] == pytest.approx(0.8932, abs=5e-5)
    error = math.sqrt(found.covariance[0, 0])
    assert error == pytest.approx(0.0307, abs=5e-5)
    assert found.aucs[0] - 1.959964 * error == pytest.approx(0.83295, abs=5e-5)
    assert found.aucs[0] + 1.959964 * error == pytest.approx(0.95339, abs=5e-5)


def test_delong_s_difference_is_its_z_test() -> None:
    labels, first, second = fixed(seed=3)
    aucs, covariance = direct_delong(labels, first, second)
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference, bounds, p_value = delong(labels, first, second).difference()
    assert difference == pytest.approx(aucs[0] - aucs[1])
    assert bounds == pytest.approx((difference - 1.959964 * error, difference + 1.959964 * error))
    assert p_value == pytest.approx(math.erfc(abs(difference) / error / math.sqrt(2)))


def clustered_directly(labels: np.ndarray, scores: np.ndarray, patients: list[str]) -> float:
    """Obuchowski 1997 straight from the kernel of all pairs, patient by patient; no ranks, no shared code."""
    ill = [number for number, label in enumerate(labels) if label == 1]
    well = [number for number, label in enumerate(labels) if label == 0]

    def kernel(i: int, j: int) -> float:
        return 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0

    of_ill = {i: sum(kernel(i, j) for j in well) / len(well) for i in ill}
    of_well = {j: sum(kernel(i, j) for i in ill) / len(ill) for j in well}
    value = sum(of_ill.values()) / len(ill)
    sums = {
        patient: (
            sum(each - value for i, each in of_ill.items() if patients[i] == patient),
            sum(each - value for j, each in of_well.items() if patients[j] == patient),
        )
        for patient in set(patients)
    }
    with_ill, with_well = ({patients[i] for i in members} for members in (ill, well))
    first = len(with_ill) / (len(with_ill) - 1) * sum(a * a for a, _ in sums.values()) / len(ill) ** 2
    second = len(with_well) / (len(with_well) - 1) * sum(b * b for _, b in sums.values()) / len(well) ** 2
    across = len(sums) / (len(sums) - 1) * sum(a * b for a, b in sums.values()) / (len(ill) * len(well))
    return first + second + 2 * across


def test_delong_by_patient_is_the_direct_formula_also_for_patients_of_both_classes() -> None:
    labels, first, second = fixed(n=120)
    patients = [f"p{number}" for number in np.random.default_rng(2).integers(0, 40, len(labels))]
    found = delong(labels, first, second, patients=patients)
    assert found.aucs == pytest.approx(delong(labels, first, second).aucs)
    assert found.covariance[0, 0] == pytest.approx(clustered_directly(labels, first, patients))
    assert found.covariance[1, 1] == pytest.approx(clustered_directly(labels, second, patients))
    assert found.covariance[0, 1] == pytest.approx(found.covariance[1, 0])


def test_delong_by_patient_of_one_image_each_is_delong_and_copies_add_nothing() -> None:
    labels, first, second = fixed(ties=False)
    each = [str(number) for number in range(len(labels))]
    plain = delong(labels, first, second)
    assert delong(labels, first, second, patients=each).covariance == pytest.approx(plain.covariance)
    twice = delong(np.tile(labels, 2), np.tile(first, 2), np.tile(second, 2), patients=each * 2)
    assert twice.covariance == pytest.approx(plain.covariance)
    assert delong(np.tile(labels, 2), np.tile(first, 2)).covariance[0, 0] < 0.6 * plain.covariance[0, 0]


def test_delong_by_patient_needs_two_patients_of_each_class() -> None:
    with pytest.raises(ValueError, match="two patients of each class"):
        delong(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.0, 1.5]), patients=["a", "b", "c", "c"])


@pytest.mark.parametrize(
    ("positives", "negatives", "pairs"),
    [("abc", "de", 2), ("aab", "cdef", 2), ("ab", "ab", 1), ("abc", "cd", 2), ("a", "a", 0), ("abcd", "ab", 2)],
)
def test_pairs_share_no_patient(positives: str, negatives: str, pairs: int) -> None:
    labels = np.repeat([1.0, 0.0], [len(positives), len(negatives)])
    assert disjoint_pairs(labels, list(positives + negatives)) == pairs


def test_delong_of_a_score_with_itself_and_of_a_perfect_one() -> None:
    labels, first, _ = fixed()
    assert delong(labels, first, first).difference() == (0.0, (0.0, 0.0), 1.0)
    perfect = delong(labels, labels)
    assert perfect.aucs[0] == 1 and all(math.isnan(bound) for bound in perfect.interval())
    with pytest.raises(ValueError, match="two images of each class"):
        delong(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.5]))


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, 40, elements=st.floats(0, 1)),
    arrays(int, 40, elements=st.integers(0, 1)),
    arrays(int, 40, elements=st.integers(0, 3)),
)
def test_weights_are_repetitions(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
    found = weighted_auc(labels, scores)(weights[np.newaxis].astype(float))[0]
    repeated = np.repeat(np.arange(40), weights)
    if len(set(labels[repeated].tolist())) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(labels[repeated], scores[repeated]), abs=1e-12)


def test_an_auc_needs_both_classes_and_counts_ties_half() -> None:
    assert auc(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.9, 0.1])) == 0.875
    with pytest.raises(ValueError, match="both classes"):
        auc(np.ones(3), np.arange(3.0))


@settings(max_examples=60, deadline=None)
@given(
    arrays(int, 30, elements=st.integers(0, 5)),
    arrays(int, 30, elements=st.integers(0, 1)),
    arrays(int, 30, elements=st.integers(0, 2)),
    arrays(int, 30, elements=st.integers(0, 3)),
)
def test_an_auc_within_groups_counts_their_pairs(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, weights: np.ndarray
) -> None:
    repeated = np.repeat(np.arange(30), weights)
    won = [
        (scores[one] > scores[other]) + (scores[one] == scores[other]) / 2
        for one in repeated
        for other in repeated
        if labels[one] > labels[other] and groups[one] == groups[other]
    ]
    found = weighted_auc_within(labels, scores, [str(group) for group in groups])(weights[np.newaxis].astype(float))[0]
    assert found == pytest.approx(np.mean(won)) if won else math.isnan(found)


def test_a_score_that_tells_only_the_groups_apart_is_worth_nothing_within_them() -> None:
    views = ["PA"] * 10 + ["AP"] * 10
    labels = np.array([1.0, 1.0, *[0.0] * 8, *[1.0] * 8, 0.0, 0.0])
    scores = np.array([float(view == "AP") for view in views])
    assert auc(labels, scores) == pytest.approx(0.8)
    assert auc_within(labels, scores, views) == 0.5
    with pytest.raises(ValueError, match="both classes in one of them"):
        auc_within(np.array([1.0, 0.0]), np.array([1.0, 0.0]), ["PA", "AP"])


def test_holm_is_statsmodels_and_counts_a_test_without_a_value() -> None:
    values = [0.01, 0.04, 0.03, 0.005, 0.8]
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())
    found = holm([0.01, math.nan])
    assert found[0] == pytest.approx(0.02) and math.isnan(found[1])


def test_the_bootstrap_draws_patients_repeats_and_agrees_with_drawing_them_one_by_one() -> None:
    labels, scores, _ = fixed(n=200)
    patients = [str(index // 4) for index in range(200)]
    curve = weighted_auc(labels, scores)

    def interval(seed: int, names: list[str]) -> tuple[float, float]:
        rounds = Resampling(names, 4000, seed).over(lambda weights: curve(weights)[:, np.newaxis])
        return percentile_interval(rounds[:, 0])

    drawn = interval(1, patients)
    assert drawn == interval(1, patients) != interval(2, patients)
    one_by_one = patient_bootstrap(lambda chosen: auc(labels[chosen], scores[chosen]), patients, rounds=4000)
    assert drawn == pytest.approx(one_by_one, abs=0.01)
    same = np.repeat(np.arange(50), 4)  # four copies of each patient's one image are one image, not four
    copied = weighted_auc(labels[same], scores[same])
    narrow = percentile_interval(
        Resampling([str(i) for i in range(200)], 2000, 1).over(lambda w: copied(w)[:, np.newaxis])[:, 0]
    )
    wide = percentile_interval(
        Resampling([str(i) for i in same], 2000, 1).over(lambda w: copied(w)[:, np.newaxis])[:, 0]
    )
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_no_interval_where_most_rounds_define_nothing() -> None:
    assert all(math.isnan(bound) for bound in percentile_interval(np.array([0.5, math.nan, math.nan])))
    assert all(math.isnan(bound) for bound in percentile_interval(np.array([])))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (7, 10), (630, 653)])
def test_the_exact_interval_is_scipy_s(successes: int, trials: int) -> None:
    found = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert exact_interval(successes, trials) == pytest.approx((found.low, found.high))


def test_mcnemar_is_the_binomial_test_of_the_discordant() -> None:
    first = np.array([True] * 30 + [False] * 10 + [True] * 15 + [False] * 4)
    second = np.array([True] * 30 + [False] * 10 + [False] * 15 + [True] * 4)
    only_first, only_second, p_value = mcnemar(first, second)
    assert (only_first, only_second) == (15, 4)
    assert p_value == pytest.approx(binomtest(4, 19).pvalue)
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_the_t_test_needs_replicates() -> None:
    assert t_test([0.98, 0.97, 0.99], [0.98, 0.97, 0.99]) == pytest.approx(1)
    assert t_test([0.98, 0.981, 0.982], [0.95, 0.951, 0.952]) < 0.001
    with pytest.raises(ValueError, match="replicates"):
        t_test([0.9], [0.8, 0.9])


def test_kappa_is_scikit_learn_s_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 2, 400).astype(float)
    second = np.where(rng.random(400) < 0.1, 1 - first, first)
    found = reader_agreement(first, second)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.agreement == pytest.approx(float((first == second).mean()))
    assert found.kappa_bounds[0] < found.kappa < found.kappa_bounds[1]
    assert reader_agreement(first, first).kappa == 1
    assert math.isnan(reader_agreement(np.ones(5), np.ones(5)).kappa)
    assert reader_agreement(np.ones(4), np.array([1.0, 0.0, 1.0, 0.0])).kappa == 0


def test_confusion_figures_are_scikit_learn_s() -> None:
    labels, scores, _ = fixed(seed=7)
    scored = ScoredCohort(labels, scores, np.ones(len(labels), dtype=bool), [str(i) for i in range(len(labels))])
    counts, figures = confusion_figures(scored, 0.5, lambda s: Resampling(s.patients, 200), worst=False, prevalence=0.1)
    calls = scores >= 0.5
    tn, fp, fn, tp = confusion_matrix(labels, calls).ravel()
    assert (counts.tp, counts.fp, counts.tn, counts.fn) == (tp, fp, tn, fn)
    assert figures["f1"].value == pytest.approx(f1_score(labels, calls))
    assert figures["ppv"].value == pytest.approx(tp / (tp + fp))
    sensitivity, specificity = figures["sensitivity"].value, figures["specificity"].value
    expected = sensitivity * 0.1 / (sensitivity * 0.1 + (1 - specificity) * 0.9)
    assert figures["ppv_at_prevalence"].value == pytest.approx(expected)
    for name, figure in figures.items():
        assert figure.lower <= figure.value <= figure.upper, name
        assert set(figure.intervals) >= {"bootstrap"}


def images(*rows: tuple[int, float | None, str]) -> list[CohortImage]:
    return [
        CohortImage(f"{n}", label, study, study, score, score is not None, True)
        for n, (label, score, study) in enumerate(rows)
    ]


def test_what_is_not_assessed_counts_as_wrong_in_either_class() -> None:
    rows = [(1, 0.9, f"p{n}") for n in range(8)] + [(0, 0.1, f"n{n}") for n in range(8)]
    scored = per_image(images(*rows, (1, None, "p8"), (0, None, "n8")))
    every = lambda s: Resampling(s.patients, 200)  # noqa: E731
    assert auc_figure(scored.only_assessed(), every).value == 1
    assert auc_figure(scored.worst_case(), every).value == pytest.approx(64 / 81)
    counts, figures = confusion_figures(scored, 0.5, every, worst=True)
    assert (counts.tp, counts.fp, counts.tn, counts.fn) == (8, 1, 8, 1)
    assert figures["sensitivity"].value == pytest.approx(8 / 9)
    counts, _ = confusion_figures(scored, 0.5, every, worst=False)
    assert (counts.tp, counts.fp, counts.tn, counts.fn) == (8, 0, 8, 0)


def test_a_model_that_refuses_everything_is_wrong_about_everything() -> None:
    scored = per_image(images(*[(n % 2, None, str(n)) for n in range(20)]))
    every = lambda s: Resampling(s.patients, 200)  # noqa: E731
    assert auc_figure(scored.worst_case(), every).value == 0
    _, figures = confusion_figures(scored, 0.5, every, worst=True)
    assert figures["sensitivity"].upper < 0.5 and figures["specificity"].value == 0
    _, figures = confusion_figures(scored, 0.5, every, worst=False)
    assert math.isnan(figures["sensitivity"].value) and math.isnan(figures["sensitivity"].lower)


def test_the_auc_of_a_single_negative_is_hardly_known() -> None:
    """However many positives: drawing patients anew repeats the one negative, or leaves it out."""
    every = lambda s: Resampling(s.patients, 400)  # noqa: E731
    one = per_image(images((0, 0.3, "n"), *[(1, 0.1 if n < 2 else 0.9, f"p{n}") for n in range(16)]))
    figure = auc_figure(one, every)
    assert figure.value == pytest.approx(14 / 16)
    low, high = figure.intervals["bootstrap"]
    assert low > 0.5 and high == 1  # what would be believed without
    assert figure.intervals["pairs"] == (0.0, 1.0) == (figure.lower, figure.upper)
    assert main_bounds(figure.record()) == (0.0, 1.0)
    five = per_image(images(*[(label, 0.2 * n + 0.3 * label, f"{label}{n}") for n in range(5) for label in (0, 1)]))
    assert "pairs" not in auc_figure(five, every).intervals


def test_a_share_of_all_is_not_certain() -> None:
    scored = per_image(images(*[(n % 2, 0.5, str(n)) for n in range(20)]))
    figure = share_figure(scored.assessed, scored, lambda s: Resampling(s.patients, 200))
    assert figure.intervals["bootstrap"] == (1.0, 1.0)
    assert main_bounds(figure.record()) == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert main_bounds({"value": None, "n": 0, "intervals": {}}) is None


def test_a_study_is_raised_by_one_image_and_known_only_if_all_are() -> None:
    scored = per_study(
        images((0, 0.2, "a"), (1, 0.8, "a"), (1, 0.9, "b"), (1, None, "b"), (0, 0.1, "c"), (0, None, "c"))
    )
    assert scored.labels.tolist() == [1, 1, 0]
    assert scored.scores.tolist() == [0.8, 0.9, 0.1]
    assert scored.assessed.tolist() == [True, False, False]
    every = lambda s: Resampling(s.patients, 10)  # noqa: E731
    counts, _ = confusion_figures(scored, 0.5, every, worst=True)
    assert (counts.tp, counts.fp, counts.tn, counts.fn) == (2, 1, 0, 0)
    listed = [
        CohortImage("lateral", 1, "d", "d", None, False, False),
        CohortImage("front", 1, "d", "d", 0.7, True, True),
    ]
    assert per_study(listed).assessed.tolist() == [True]
    assert per_study(listed[:1]).assessed.tolist() == [False]


def test_calibration_is_scikit_learn_s_brier_and_its_bins_hold_everything() -> None:
    rng = np.random.default_rng(2)
    probabilities = np.concatenate([rng.random(500), [0.0, 1.0]])
    labels = (rng.random(502) < probabilities).astype(float)
    assert brier(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities))
    bins = reliability(labels, probabilities)
    assert sum(each.n for each in bins) == 502
    assert calibration_error(labels, probabilities) < 0.1
    assert calibration_error(labels, np.clip(probabilities / 3, 0, 1)) > 0.25
    assert calibration_error(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])) == 0
    resampling = Resampling([str(n) for n in range(502)], 400)
    brier_bounds, error_bounds = brier_and_error_bounds(labels, probabilities, resampling)
    assert brier_bounds[0] < brier(labels, probabilities) < brier_bounds[1]
    assert 0 < error_bounds[0] < error_bounds[1]


def test_the_decision_curve_of_a_perfect_model_is_the_prevalence() -> None:
    labels = np.array([1.0] * 3 + [0.0] * 7)
    curve = decision_curve(labels, labels)
    assert all(each.model == pytest.approx(0.3) for each in curve)
    half = curve[49]
    assert (half.threshold, half.raise_all) == (pytest.approx(0.5), pytest.approx(0.3 - 0.7))


def test_sample_sizes_certify_what_they_say() -> None:
    assert fewest_for(0.95) == 72  # 0.025 ** (1 / 72) = 0.9501: the rule of 3.7 over 0.05
    assert most_certifiable(72) == pytest.approx(0.025 ** (1 / 72))
    allowed = allowed_misses(653, 0.95)
    assert allowed is not None
    assert exact_interval(653 - allowed, 653)[0] >= 0.95 > exact_interval(653 - allowed - 1, 653)[0]
    assert allowed_misses(50, 0.95) is None
    needed = positives_needed(0.9, 0.95)
    assert needed is not None
    rng = np.random.default_rng(1)
    bounds = [exact_interval(int(found), needed)[0] for found in rng.binomial(needed, 0.95, 2000)]
    assert 0.78 < np.mean([bound >= 0.9 for bound in bounds]) < 0.9
    assert positives_needed(0.95, 0.95) is None
