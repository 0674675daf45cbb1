"""One page about a flow, given what was computed."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.stats import chi2

from bgbias.evaluation.statistics import SIGNIFICANT
from bgbias.methods.flow.quality import FlowQuality, Normality
from study.inspect.flow import FlowReport, to_json
from study.report.drawing import color, panels
from study.report.embedded import Figures
from study.report.layout import Grid
from study.report.page import Section, document, section_html
from study.report.training import flow_curve

BINS = 20
SMALLEST_P = 1e-16
"""Smaller p-values are drawn as this."""
FLOW, OTHER, EXPECTED = color(0), color(4), color(7)
"""Colours of the flow, of everything else, and of the ideal value or chance."""


def flow_page(report: FlowReport) -> str:
    """The HTML of all figures: the accuracy of votes on every variant, and the quality of the flow."""
    figures, shown = Figures(), sections(report)
    body = "".join(section_html(section, figures) for section in shown)
    title = f"{report.method.name()} on {report.dataset}"
    text = "What votes over samples are worth, and how well the flow knows held-out moves of embeddings."
    head = f"<h1>{escape(title)}</h1><p>{text}</p>"
    return document(title, {section.key: section.title for section in shown}, head + body, figures)


def sections(report: FlowReport) -> list[Section]:
    """The page's parts."""
    quality, names = report.quality, report.classes
    images = " or ".join(map(str, sorted({curve.images for curve in report.curves.values()})))
    return [
        Section(
            "votes",
            "Votes over samples",
            f"Test accuracy against the number of samples, on {images} images; at 0, of the own embedding alone. "
            f"Larger marks: the number chosen on validation data ({report.samples}).",
            [("", flow_curve(to_json(report)))],
        ),
        Section(
            "moves",
            "Samples beside true moves",
            "Bits per dimension: lower is better. One sample beside one true move: how often their predictions agree, "
            "the classifier's accuracy on each, and coverage and density of samples. For each background class, how "
            "well a classifier separates samples from true moves (50 % is chance), and the p-value of the maximum "
            "mean discrepancy.",
            [("", moves(quality)), ("", moves_by_class(quality, names))],
        ),
        Section(
            "noise",
            "The noise of true moves",
            "Standard normal if the flow knows the moves: then the probability transform of every dimension is uniform "
            "(thin: each dimension; bold: all), and squared lengths are chi-squared. p-values are Kolmogorov and "
            "Smirnov's.",
            [("", noise(quality.normality))],
        ),
        Section("settings", "Settings", "", [], [settings(report)]),
    ]


def moves(quality: FlowQuality) -> go.Figure:
    """Bars: how likely true moves are to the flow and the baselines, and how near one sample comes to a true move."""
    shares = {
        "predictions<br>agree": quality.agreement,
        "accuracy,<br>sampled": quality.accuracy_sampled,
        "accuracy,<br>true": quality.accuracy_true,
        "coverage": quality.coverage,
        "density": quality.density,
    }
    bits = {name.replace("_", " "): value for name, value in quality.bits.items()}
    figure, places = panels(["bits per dimension", "one sample beside one true move"], shared_y=False)
    figure.add_trace(bars(bits, [FLOW if name == "flow" else OTHER for name in bits], "%{y:.2f}"), **places[0])
    figure.add_trace(bars(shares, [FLOW] * 3 + [OTHER] * 2, "%{y:.3f}"), **places[1])
    figure.add_hline(y=1, line={"color": EXPECTED, "dash": "dot"}, **places[1])
    return figure.update_layout(showlegend=False)


def moves_by_class(quality: FlowQuality, names: Sequence[str]) -> go.Figure:
    """Bars: by background class, the two tests of samples and true moves."""
    found = {names[label]: tests for label, tests in quality.classes.items()}
    accuracies = {name: 100 * tests.classifier.accuracy for name, tests in found.items()}
    p_values = {name: tests.kernel.p_value for name, tests in found.items()}
    titles = ["classifier of samples and true moves, accuracy [%]", "maximum mean discrepancy, p"]
    figure, places = panels(titles, shared_y=False)
    shown = ((accuracies, 50, 100), (p_values, SIGNIFICANT, 1))
    for place, (values, expected, most) in zip(places, shown, strict=True):
        figure.add_trace(bars(values, [FLOW] * len(values)), **place)
        figure.add_hline(y=expected, line={"color": EXPECTED, "dash": "dot"}, **place)
        figure.update_yaxes(range=[0, most], **place)
    figure.update_xaxes(type="category", title_text="background class", title_standoff=5)
    return figure.update_layout(showlegend=False)


def bars(values: Mapping[str, float], colors: Sequence[str], text: str | None = None) -> go.Bar:
    """A bar for each name, with its value on it in a format."""
    hover = "%{x}: %{y:.4g}<extra></extra>"
    return go.Bar(x=list(values), y=list(values.values()), marker_color=colors, texttemplate=text, hovertemplate=hover)


def noise(normality: Normality) -> go.Figure:
    """Compare the noise with the normal distribution: each dimension, the squared length, and tests of dimensions."""
    figure, (pit, radius, tests) = panels(
        [
            "probability transform (PIT), density",
            f"squared length, density: p = {normality.radius_p:.2g}",
            "each dimension's p, in order",
        ],
        shared_y=False,
    )
    edges = np.linspace(0, 1, BINS + 1)
    for column in normality.pit.T:
        figure.add_trace(stairs(column, edges, OTHER, 0.8, 0.5), **pit)
    figure.add_trace(stairs(normality.pit.ravel(), edges, FLOW, 2.5, 1.0), **pit)
    figure.add_hline(y=1, line={"color": EXPECTED, "dash": "dot"}, **pit)
    expected = chi2(normality.pit.shape[1])
    limit = max(float(np.quantile(normality.radius, 0.99)), float(expected.ppf(0.999)))
    figure.add_trace(stairs(normality.radius, np.linspace(0, limit, 2 * BINS + 1), FLOW, 2, 1.0), **radius)
    lengths = np.linspace(0, limit, 100)
    figure.add_scatter(
        x=lengths, y=expected.pdf(lengths), mode="lines", line={"color": EXPECTED, "dash": "dot"}, hoverinfo="skip",
        **radius,
    )  # fmt: skip
    p_values = np.sort(normality.dimension_p).clip(min=SMALLEST_P)
    figure.add_scatter(y=p_values, mode="markers", marker={"color": FLOW, "size": 6}, **tests)
    figure.add_hline(y=SIGNIFICANT, line={"color": EXPECTED, "dash": "dot"}, **tests)
    figure.update_yaxes(type="log", exponentformat="power", dtick=1, **tests)
    figure.update_yaxes(rangemode="tozero", row=1, col=1)
    return figure.update_layout(showlegend=False)


def stairs(
    values: NDArray[np.float64], edges: NDArray[np.float64], line_color: str, width: float, opacity: float
) -> go.Scatter:
    """The density of values in equal bins; those outside are left out of the picture, not of the density."""
    density = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
    return go.Scatter(
        x=edges,
        y=np.append(density, density[-1]),
        mode="lines",
        line={"shape": "hv", "color": line_color, "width": width},
        opacity=opacity,
        hovertemplate="%{x:.3g}: %{y:.3g}<extra></extra>",
    )


def settings(report: FlowReport) -> Grid:
    """The flow's settings, and what no bar shows."""
    method = report.method
    rows = {
        "family": method.family,
        "depth": method.depth,
        "hidden units": method.flow_hidden,
        "embedding width": method.width,
        "swaps": method.swaps,
        "log-likelihood weight": f"{method.likelihood_weight:.3g}",
        "vote weight": f"{method.vote_weight:.3g}",
        "trained": "by the likelihood alone (faithful)" if method.faithful else "by the vote too",
        "temperature of training": f"{method.temperature:.3g}",
        "vote": method.vote,
        "samples, chosen on validation data": report.samples,
        "inversion error": f"{report.quality.inversion_error:.1e}",
    }
    return Grid("of the flow", ["value"], {name: [str(value)] for name, value in rows.items()}, "setting", "")
