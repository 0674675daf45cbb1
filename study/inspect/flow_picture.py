"""One page about a flow, given what was computed."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from bgbias.evaluation.statistics import SIGNIFICANT
from bgbias.methods.flow.quality import Curve, FlowQuality
from study.display import percent
from study.inspect.flow import FlowReport

COLUMNS = 4
BINS = 20
SMALLEST_P = 1e-16
"""Smaller p-values are drawn as this."""
COLOURS = {"majority": "tab:blue", "mean_probability": "tab:green", "reproduced": "tab:red"}
NEUTRAL, EXPECTED = "tab:gray", "black"


def flow_figure(report: FlowReport) -> Figure:
    """Draw the accuracy of votes on every variant, and below it the quality of the flow."""
    curve_rows = math.ceil(len(report.curves) / COLUMNS)
    figure = Figure(figsize=(16, 3.5 * (curve_rows + 2)), layout="constrained")
    title = (
        f"{report.method.name()} on {report.dataset}: votes over samples, and how well the flow knows held-out moves"
    )
    figure.suptitle(title, fontsize=14)
    panels = figure.subplots(curve_rows + 2, COLUMNS, squeeze=False)
    for axes in panels[:curve_rows].flat[len(report.curves) :]:
        axes.set_axis_off()
    for axes, (variant, curve) in zip(panels.flat, report.curves.items(), strict=False):
        draw_curve(axes, variant, curve, report.samples)
    panels[0, 0].legend(fontsize=8)
    quality, names = report.quality, report.classes
    top, bottom = panels[curve_rows:]
    draw_bits(top[0], quality)
    draw_dimensions(top[1], quality)
    draw_radius(top[2], quality)
    draw_shares(top[3], quality)
    draw_classifiers(bottom[0], quality, names)
    draw_kernels(bottom[1], quality, names)
    draw_dimension_tests(bottom[2], quality)
    draw_words(bottom[3], report)
    return figure


def draw_curve(axes: Axes, variant: str, curve: Curve, chosen: int) -> None:
    """Accuracy against the number of samples."""
    for vote, found in curve.votes.items():
        drawn = {n: value for n, value in found.items() if n}
        axes.plot(list(drawn), [100 * value for value in drawn.values()], "o-", ms=3, color=COLOURS[vote], label=vote)
    axes.axhline(100 * curve.votes["majority"][0], color=EXPECTED, lw=1, label="own embedding, no sample")
    if chosen:
        axes.axvline(chosen, color=EXPECTED, ls=":", lw=1, label="chosen on validation data")
    axes.set_xscale("log", base=2)
    axes.set_title(f"{variant}, {curve.images} test images\nfrozen backbone: {percent(curve.backbone)}", fontsize=10)
    axes.set_xlabel("samples")
    axes.set_ylabel("accuracy [%]")
    axes.grid(alpha=0.3)


def draw_bits(axes: Axes, quality: FlowQuality) -> None:
    """Bits per dimension of the flow and the baselines."""
    names = [name.replace("_", "\n") for name in quality.bits]
    bars = axes.bar(names, list(quality.bits.values()), color=["tab:blue", *[NEUTRAL] * (len(names) - 1)])
    axes.bar_label(bars, fmt="%.2f", fontsize=9)
    axes.axhline(0, color=EXPECTED, lw=0.8)
    axes.margins(y=0.15)
    axes.set_title("bits per dimension (lower is better)", fontsize=10)


def draw_dimensions(axes: Axes, quality: FlowQuality) -> None:
    """Histograms of the normal distribution function of each dimension's noise."""
    edges = np.linspace(0, 1, BINS + 1)
    for column in quality.normality.pit.T:
        axes.stairs(np.histogram(column, edges, density=True)[0], edges, color=NEUTRAL, alpha=0.35, lw=0.8)
    pooled = np.histogram(quality.normality.pit, edges, density=True)[0]
    axes.stairs(pooled, edges, color="tab:blue", lw=2, label="all dimensions")
    axes.axhline(1, color=EXPECTED, ls=":", label="uniform, as it should be")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    axes.set_title("noise: probability transform (PIT)", fontsize=10)


def draw_radius(axes: Axes, quality: FlowQuality) -> None:
    """Squared lengths of the noise beside the chi-squared distribution."""
    width, radius = quality.normality.pit.shape[1], quality.normality.radius
    expected = chi2(width)
    limit = max(float(np.quantile(radius, 0.99)), float(expected.ppf(0.999)))
    axes.hist(radius[radius <= limit], bins=2 * BINS, density=True, color="tab:blue", alpha=0.6)
    grid = np.linspace(0, limit, 300)
    axes.plot(grid, expected.pdf(grid), color=EXPECTED, ls=":", label=f"chi-squared, {width} degrees of freedom")
    axes.legend(fontsize=8, loc="upper right")
    axes.set_title(f"squared length of the noise: p = {quality.normality.radius_p:.2g} (KS test)", fontsize=10)


def draw_shares(axes: Axes, quality: FlowQuality) -> None:
    """Draw the measures of how far samples can be trusted."""
    shown = {
        "answers\nagree": quality.agreement,
        "accuracy\nsampled": quality.accuracy_sampled,
        "accuracy\ntrue": quality.accuracy_true,
        "coverage": quality.coverage,
        "density": quality.density,
    }
    bars = axes.bar(list(shown), list(shown.values()), color=["tab:blue"] * 3 + ["tab:green"] * 2)
    axes.bar_label(bars, fmt="%.3f", fontsize=9)
    axes.axhline(1, color=EXPECTED, ls=":", lw=0.8)
    axes.margins(y=0.15)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title("one sample beside one true move", fontsize=10)


def draw_classifiers(axes: Axes, quality: FlowQuality, names: tuple[str, ...]) -> None:
    """Draw the accuracy of a classifier of samples and true moves, by background class."""
    accuracy = [100 * found.classifier.accuracy for found in quality.classes.values()]
    axes.bar([names[label] for label in quality.classes], accuracy, color="tab:purple")
    axes.axhline(50, color=EXPECTED, ls=":", label="chance")
    axes.set_title("classifier of samples and true moves [%]", fontsize=10)
    finish_by_class(axes, top=100)


def draw_kernels(axes: Axes, quality: FlowQuality, names: tuple[str, ...]) -> None:
    """The permutation p-value of the maximum mean discrepancy, by background class."""
    axes.bar([names[label] for label in quality.classes], [found.kernel.p_value for found in quality.classes.values()])
    axes.axhline(SIGNIFICANT, color=EXPECTED, ls=":", label=f"{SIGNIFICANT}")
    axes.set_title("MMD of samples and true moves: p", fontsize=10)
    finish_by_class(axes, top=1)


def finish_by_class(axes: Axes, top: float) -> None:
    """Finish a panel with a bar for each background class, whose values reach from 0 to `top`."""
    axes.set_ylim(0, top)
    axes.legend(fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("background class")


def draw_dimension_tests(axes: Axes, quality: FlowQuality) -> None:
    """P-values of each dimension's normality test."""
    axes.plot(np.sort(quality.normality.dimension_p).clip(min=SMALLEST_P), "o", ms=4, color="tab:blue")
    axes.axhline(SIGNIFICANT, color=EXPECTED, ls=":", label=f"{SIGNIFICANT}")
    axes.set_yscale("log")
    axes.set_xlabel("dimensions, in order")
    axes.legend(fontsize=8)
    axes.set_title("noise, dimension by dimension: p (KS test)", fontsize=10)


def draw_words(axes: Axes, report: FlowReport) -> None:
    """The flow's settings, and what no bar shows."""
    method = report.method
    lines = [
        f"family {method.family}, depth {method.depth}, hidden {method.flow_hidden}",
        f"embedding width {method.width}, swaps {method.swaps}",
        f"log-likelihood weight {method.likelihood_weight:.3g}",
        f"vote weight {method.vote_weight:.3g}, {'faithful' if method.faithful else 'trained by the vote too'}",
        f"temperature of training {method.temperature:.3g}",
        f"vote {method.vote}, {report.samples} samples chosen",
        f"inversion error {report.quality.inversion_error:.1e}",
    ]
    axes.set_axis_off()
    axes.text(0, 1, "\n\n".join(lines), va="top", fontsize=10, transform=axes.transAxes)
