"""Tests of several hypotheses, worked by hand."""

import numpy as np
import pytest

from bgbias.evaluation.statistics import holm, rejected


def test_holms_correction_worked_by_hand():
    # sorted .01 .02 .03 .2: times 4, 3, 2, 1 is .04 .06 .06 .2
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    # .03 x 3 = .09, then .04 x 2 = .08 may not fall below it, then .6
    assert holm([0.04, 0.03, 0.6]) == pytest.approx([0.09, 0.09, 0.6])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holms_procedure_by_hand():
    assert rejected([0.01, 0.04, 0.03, 0.005]) == 2
    assert rejected([0.2, 0.3]) == 0
    assert rejected([0.001, 0.002]) == 2


def test_it_agrees_with_statsmodels():
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 24):
        p = rng.random(size) ** 3
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([0.02, 0.02, 0.5]) == pytest.approx(multipletests([0.02, 0.02, 0.5], method="holm")[1])
