import pytest
import torch
from scipy.stats import chisquare

from bgbias.data.assignment import biased, by_class, none, of_class, of_random_class, other_class
from bgbias.randomness import stream

BACKGROUND_LABEL = torch.tensor([2, 0, 1, 2, 0, 2])
"""Out of order and uneven: class 0 has backgrounds 1 and 4, class 1 has 2, class 2 has 0, 3 and 5."""


def test_backgrounds_are_sorted_by_class_once_for_each_tensor():
    found = by_class(BACKGROUND_LABEL)
    assert found is by_class(BACKGROUND_LABEL)
    assert found.classes.tolist() == [0, 1, 2]
    assert found.rows.tolist() == [1, 4, 2, 0, 3, 5]
    assert (found.first.tolist(), found.count.tolist()) == ([0, 2, 3], [2, 1, 3])
    other = by_class(torch.tensor([0, 3, 3, 0, 3, 3]))
    assert other.classes.tolist() == [0, 3]
    assert (other.first.tolist(), other.count.tolist()) == ([0, 2, 2, 2], [2, 0, 0, 4])


def test_of_class_draws_uniformly_within_the_wanted_class():
    wanted = torch.tensor([0, 1, 2]).repeat_interleave(3_000)
    chosen = of_class(wanted, BACKGROUND_LABEL, stream(0, "test"))
    assert torch.equal(BACKGROUND_LABEL[chosen], wanted)
    count = torch.bincount(chosen, minlength=6)
    assert count[2] == 3_000
    assert chisquare(count[[1, 4]]).pvalue > 1e-3
    assert chisquare(count[[0, 3, 5]]).pvalue > 1e-3


def test_of_class_draws_for_each_foreground_on_its_own():
    chosen = of_class(torch.full((100,), 2), BACKGROUND_LABEL, stream(0, "test"))
    assert set(chosen.tolist()) == {0, 3, 5}


def test_of_random_class_draws_classes_uniformly_however_many_backgrounds_they_have():
    chosen = of_random_class(9_000, BACKGROUND_LABEL, stream(0, "test"))
    assert chisquare(torch.bincount(BACKGROUND_LABEL[chosen], minlength=3)).pvalue > 1e-3
    assert chisquare(torch.bincount(chosen, minlength=6)[[0, 3, 5]]).pvalue > 1e-3


def test_of_random_class_reaches_the_last_of_ten_classes():
    chosen = of_random_class(10_000, torch.arange(10), stream(0, "test"))
    count = torch.bincount(chosen, minlength=10)
    assert count[9] > 0
    assert chisquare(count).pvalue > 1e-3


def test_of_random_class_leaves_out_classes_without_backgrounds():
    label = torch.tensor([3, 7])
    chosen = of_random_class(1_000, label, stream(0, "test"))
    assert set(label[chosen].tolist()) == {3, 7}


def test_none_points_at_no_background():
    assert none(3).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("bias_strength", "other"), [(0.0, 1000), (0.25, 750), (0.999, 1), (0.9996, 0), (1.0, 0)])
def test_biased_puts_an_exact_number_on_another_class(bias_strength, other):
    label = torch.arange(1000) % 10
    chosen = biased(label, torch.arange(10), bias_strength, stream(0, "test"))
    assert (chosen != label).sum() == other


def test_biased_draws_the_other_class_and_the_examples_at_random():
    label = torch.full((9_000,), 4)
    chosen = biased(label, torch.arange(10), 0.5, stream(0, "test"))
    off = chosen != label
    assert chisquare(torch.bincount(chosen[off], minlength=10)[[0, 1, 2, 3, 5, 6, 7, 8, 9]]).pvalue > 1e-3
    assert chisquare(off.reshape(10, 900).sum(dim=1)).pvalue > 1e-3


def test_biased_keeps_to_classes_that_have_backgrounds():
    background_label = torch.tensor([2, 5, 5, 9])
    label = torch.tensor([2, 5, 9]).repeat(300)
    chosen = background_label[biased(label, background_label, 0.0, stream(0, "test"))]
    assert not (chosen == label).any()
    assert set(zip(label.tolist(), chosen.tolist(), strict=True)) == {(2, 5), (2, 9), (5, 2), (5, 9), (9, 2), (9, 5)}


def test_biased_is_a_function_of_its_stream_and_leaves_the_labels_alone():
    label = torch.arange(1000) % 10
    first, again, other = (biased(label, torch.arange(10), 0.5, stream(seed, "test")) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(label, torch.arange(1000) % 10)


def test_a_strength_for_each_class_holds_in_each_class():
    label = torch.arange(10).repeat(40)
    bias_strength = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0]
    chosen = biased(label, torch.arange(10), bias_strength, stream(0, "test"))
    own = torch.bincount(label[chosen == label], minlength=10)
    assert own.tolist() == [round(40 * share) for share in bias_strength]


def test_another_class_is_any_other_that_has_backgrounds():
    found = other_class(torch.tensor([0, 2, 5] * 400), torch.tensor([0, 2, 2, 5]), stream(0, "test")).view(400, 3)
    assert [sorted(set(column.tolist())) for column in found.T] == [[2, 5], [0, 5], [0, 2]]
    assert (found[:, 0] == 2).float().mean().item() == pytest.approx(0.5, abs=0.1)
