"""The figures of a simulation, as PNG and SVG."""

from __future__ import annotations

from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from triage.simulation.compare import ScenarioComparison
from triage.simulation.outcome import CURVE_EDGES, Values
from triage.simulation.policies import FIFO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#555555", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # Okabe and Ito
_STYLES = ("-", "--", "-.", ":")
_FIRST_MINUTES, _LAST_SHARE = 1.0, 0.9999


def write_plots(comparison: ScenarioComparison, folder: Path) -> list[Path]:
    """Write ``turnaround`` and ``versus-fifo`` into ``folder``."""
    figures = {"turnaround": _turnaround(comparison), "versus-fifo": _versus_fifo(comparison)}
    written = []
    for name, figure in figures.items():
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            path = folder / f"{name}.{suffix}"
            figure.savefig(path, dpi=150, metadata=metadata)  # without a date: the same figures, the same file
            written.append(path)
    return written


def _turnaround(comparison: ScenarioComparison) -> Figure:
    """Draw the share of studies reported by time since arrival, a panel for each group."""
    shown, scenario = _shown(comparison), comparison.scenario
    rows = ceil(len(shown) / 2)
    figure = _figure(10, 3.5 * rows)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True).flatten()
    last = max(_reached(comparison.curves[policy]["all"]) for policy in comparison.curves)
    limits = (_FIRST_MINUTES / scenario.minutes_per_unit, last / scenario.minutes_per_unit)
    edges = CURVE_EDGES / scenario.minutes_per_unit
    for axis, group in zip(axes, shown, strict=False):
        for number, (policy, curves) in enumerate(comparison.curves.items()):
            if policy in comparison.policies_of(group):
                axis.plot(edges, curves[group], label=policy, color=_colour(number), linestyle=_style(number))
        axis.set(title=f"{group} ({comparison.counts[group]:,} studies)", xscale="log", xlim=limits)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    for axis in axes[len(shown) :]:
        axis.remove()
    for axis in axes[len(shown) - 2 : len(shown)]:
        axis.set_xlabel(f"{scenario.unit} from arrival to report")
        axis.tick_params(labelbottom=True)  # where the panel below it was removed
    for axis in axes[::2]:
        axis.set_ylabel("share of studies reported")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=6, loc="outside lower center")
    return figure


def _versus_fifo(comparison: ScenarioComparison) -> Figure:
    """Draw the differences of each policy to FIFO in mean, 95th percentile and maximum, with 95 % intervals."""
    policies = [policy for policy in comparison.statistics if policy != FIFO.name]
    rows = _rows(comparison)
    figure = _figure(11, 1.5 + 0.28 * sum(len(own) + 1 for own in rows.values()))
    panels = {"mean": "mean", "p95": "95th percentile", "maximum": "maximum"}
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (statistic, title) in zip(axes, panels.items(), strict=True):
        for number, policy in enumerate(policies):
            _differences(axis, comparison, statistic, policy, _colour(number + 1))
        axis.axvline(0, color="#555555", linewidth=1)
        axis.set(title=title, xlabel=f"{comparison.scenario.unit} more than FIFO")
        axis.grid(alpha=0.3, axis="x")
    axes[0].set_yticks([sum(own.values()) / len(own) for own in rows.values()], list(rows))
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=len(policies), loc="outside lower center")
    figure.suptitle("Report turnaround against FIFO on the same studies (95 % intervals over replications)")
    return figure


def _rows(comparison: ScenarioComparison) -> dict[str, dict[str, int]]:
    """Return the height at which each policy of each group is drawn; a row is free after each group."""
    rows, free = {}, 0
    for group in _shown(comparison):
        own = [policy for policy in comparison.policies_of(group) if policy != FIFO.name]
        if own:
            rows[group] = {policy: free + place for place, policy in enumerate(own)}
            free += len(own) + 1
    return rows


def _differences(axis: Axes, comparison: ScenarioComparison, statistic: str, policy: str, colour: str) -> None:
    scale = comparison.scenario.minutes_per_unit
    rows = {group: own[policy] for group, own in _rows(comparison).items() if policy in own}
    found = {group: comparison.versus_fifo(policy, "report", group, statistic).scaled(scale) for group in rows}
    known = [(each, rows[group]) for group, each in found.items() if isfinite(each.value)]
    axis.errorbar(
        [each.value for each, _ in known],
        [row for _, row in known],
        xerr=[each.upper - each.value if isfinite(each.upper) else 0.0 for each, _ in known],
        fmt="o",
        markersize=4,
        capsize=2,
        color=colour,
        label=policy,
    )


def _shown(comparison: ScenarioComparison) -> list[str]:
    return [group for group in comparison.groups if group != "all"]


def _figure(width: float, height: float) -> Figure:
    # Not pyplot: it keeps figures and a backend for the whole process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _reached(curve: Values) -> float:
    """Return the minutes within which nearly all studies are reported, for the end of the axis."""
    reached = CURVE_EDGES[np.asarray(curve) >= _LAST_SHARE]
    return float(reached[0] if len(reached) else CURVE_EDGES[-1])


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _style(number: int) -> str:
    return _STYLES[number % len(_STYLES)]
