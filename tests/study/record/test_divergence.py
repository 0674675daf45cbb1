import pytest

from study.record.divergence import divergence


def history(*values, term="cross_entropy"):
    return [{f"train/loss/{term}": value, "val/shuffled/loss": 1e30} for value in values]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_has_diverged(value):
    assert divergence(history(2.0, 1.0)) is None
    assert divergence(history(2.0, value)) == f"train/loss/cross_entropy is {value}"


def test_a_loss_far_above_its_start_for_three_epochs_has_diverged():
    assert divergence(history(2.3, 50.0, 50.0)) is None
    assert divergence(history(2.3, 50.0, 50.0, 50.0)) == (
        "train/loss/cross_entropy was above 46, 20 times its start, for 3 epochs"
    )
    assert divergence(history(2.3, 50.0, 50.0, 50.0, 1.0)) is None


def test_a_cross_entropy_starts_no_higher_than_guessing():
    assert divergence(history(1e5, 1e5, 1e5)) is not None
    assert divergence(history(1e5, 1e5, 1e5, term="likelihood")) is None


def test_a_term_that_begins_later_has_its_own_start():
    stages = history(0.1, 0.1) + history(300.0, 290.0, 280.0, 270.0, term="likelihood")
    assert divergence(stages) is None
    assert divergence([]) is None
