"""The page about a flow, drawn from made-up numbers."""

import numpy as np
import pytest
from scipy.stats import chi2

from bgbias.methods.flow.method import FlowEmbedding
from bgbias.methods.flow.quality import ClassQuality, Curve, FlowQuality, Normality
from bgbias.methods.flow.two_sample import ClassifierTest, KernelTest
from study.inspect import flow_page
from study.inspect.flow import FlowReport


@pytest.fixture
def report():
    noise = np.random.default_rng(0).uniform(size=(400, 3))
    radius = np.linspace(0.1, 9, 400)
    normality = Normality(noise, np.array([0.5, 0.0, 1e-3]), radius, 2e-5)
    tests = {
        label: ClassQuality(30, ClassifierTest(0.5 + label / 10, 0.1), KernelTest(0.1, 0.02 * label))
        for label in (0, 2)
    }
    bits = {"flow": -0.5, "gaussian": -0.3, "gaussian_mixture": -0.4}
    quality = FlowQuality(bits, normality, tests, 0.4, 0.6, 0.9, 0.91, 0.92, 1e-6)
    votes = {
        vote: {0: 0.9, 1: 0.8, 2: 0.85 + at / 100, 4: 0.95}
        for at, vote in enumerate(("majority", "mean_probability", "reproduced"))
    }
    curves = {name: Curve(0.3, votes, 200) for name in ("original", "shuffled")}
    return FlowReport(FlowEmbedding(), "colored-digits", ("a & b", "cat", "dog"), 2, quality, curves)


def test_votes_are_lines_over_the_number_of_samples(report):
    votes = flow_page.sections(report)[0]
    assert "on 200 images" in votes.text
    lines = votes.figures[0][1].data
    assert [line.name for line in lines] == ["majority", "mean probability", "reproduced", "frozen backbone"] * 2
    assert list(lines[1].x) == ["0", "1", "2", "4"]
    assert list(lines[1].y) == pytest.approx([90, 80, 86, 95])
    assert list(lines[3].y) == pytest.approx([30] * 4)
    assert list(lines[1].marker.size) == [6, 6, 11, 6]


def test_bars_of_samples_and_true_moves(report):
    bits, share = flow_page.moves(report.quality).data
    classifier, kernel = flow_page.moves_by_class(report.quality, report.classes).data
    assert dict(zip(bits.x, bits.y, strict=True)) == {"flow": -0.5, "gaussian": -0.3, "gaussian mixture": -0.4}
    assert list(share.y) == [0.9, 0.91, 0.92, 0.6, 0.4]
    assert list(classifier.x) == list(kernel.x) == ["a & b", "dog"]
    assert list(classifier.y) == pytest.approx([50, 70])
    assert list(kernel.y) == pytest.approx([0, 0.04])


def test_the_noise_is_drawn_as_densities(report):
    *dimensions, pooled, radius, expected, tests = flow_page.noise(report.quality.normality).data
    assert len(dimensions) == 3
    for density, bins in ((pooled, 20), (radius, 40)):
        widths = np.diff(np.array(density.x, dtype=float))
        assert len(widths) == bins
        assert (np.array(density.y[:-1]) * widths).sum() == pytest.approx(1)
    middle = len(expected.x) // 2
    assert expected.y[middle] == pytest.approx(chi2(3).pdf(expected.x[middle]))
    assert list(tests.y) == pytest.approx([flow_page.SMALLEST_P, 1e-3, 0.5])


def test_a_density_counts_what_is_left_out():
    found = flow_page.stairs(np.array([0.1, 0.6, 0.7, 5.0]), np.array([0, 0.5, 1]), "red", 1, 1)
    assert list(found.y) == pytest.approx([0.5, 1.0, 1.0])


def test_the_page_has_every_part(report):
    written = flow_page.flow_page(report)
    assert written.count("<section>") == 4
    for key in ("votes-0", "moves-0", "noise-0"):
        assert f'id="{key}"' in written
    assert "<h1>flow_embedding on colored-digits</h1>" in written
    assert "<th>samples, chosen on validation data</th><td>2</td>" in written
