"""Advice after an audit, of results that are made up."""

import dataclasses

import pytest

from bgbias.data.photographs import layout
from bgbias.table import Table
from study.inspect.audit_advice import advice, largest_class
from study.inspect.audit_result import Audit, BackgroundAlone, Estimate, VariantResult

CLASSES = ("cat", "dog", "cow")
PICTURES = Table(((30.0, 20.0, 10.0), (10.0, 10.0, 0.0), (10.0, 5.0, 5.0)), CLASSES, CLASSES)
"""60, 20 and 20 pictures of the three classes."""


def audit(right):
    accuracy = Estimate(right, right - 0.03, right + 0.03)
    result = VariantResult(100, accuracy, "dog", Estimate(0.2, 0.1, 0.3))
    return Audit(
        model={},
        data="data",
        classes=CLASSES,
        variants={layout.ORIGINAL: result, layout.MIXED_RAND: result},
        bg_gap=Estimate(0.1, 0.06, 0.14),
        places=Table(((0.9, 0.8, 0.7), (0.5, 0.4, 0.1), (0.6, 0.6, 0.6)), CLASSES, CLASSES),
        counts=PICTURES,
        alone=BackgroundAlone(accuracy, 1 / 3, None, None),
        looks={},
        challenge=None,
        advice=("", "", ""),
    )


def test_the_largest_class_is_found_with_its_share():
    assert largest_class(audit(0.9)) == ("cat", 0.6)


@pytest.mark.parametrize("right", [0.4, 0.6, 0.62])
def test_a_model_that_may_be_no_better_than_one_answer_says_nothing_of_backgrounds(right):
    first, second, third = advice(audit(right))
    assert f"right on {100 * right:.0f} % " in first
    assert "always saying cat 60 %: this says nothing of backgrounds yet" in first
    assert "--classes" in second
    assert third == "Then run the audit again."


def test_a_better_model_is_told_its_gap_and_where_it_is_weakest():
    first, second, _ = advice(audit(0.9))
    assert first.startswith("It leans clearly on backgrounds")
    assert "10.0 points (6.0 to 14.0)" in first
    assert "Weakest on random backgrounds: dog, 20 % right, least on backgrounds of dog" in second
    small = dataclasses.replace(audit(0.9), bg_gap=Estimate(0.01, -0.01, 0.03))
    assert advice(small)[0].startswith("No sign that it leans on backgrounds")
