import math

import pytest
import torch

from bgbias.methods.flow.votes import VOTES, Tally

CPU = torch.device("cpu")
SAMPLES = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.4, 0.35, 0.25]])
"""Four samples of one image: two answer class 0, one class 1, one class 2."""


def tally(samples, parts=1):
    found = Tally(1, samples.shape[1], CPU)
    for part in samples.chunk(parts):
        found.add(part[None])
    return found


def test_a_majority_counts_answers():
    logits = tally(SAMPLES).logits("majority")
    summed = [1.3, 1.25, 1.45]
    expected = [(votes + total / 5) / (4 + 4 / 5) for votes, total in zip([2, 1, 1], summed, strict=True)]
    assert logits.exp()[0].tolist() == pytest.approx(expected)
    assert sum(expected) == pytest.approx(1)


def test_summed_probability_decides_a_tie_and_nothing_else():
    tied = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]])
    assert tally(tied).logits("majority").argmax() == 1
    unsure_winner = torch.tensor([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]])
    assert unsure_winner.sum(dim=0).argmax() == 1
    assert tally(unsure_winner).logits("majority").argmax() == 0


def test_a_tie_of_thousands_of_samples_is_decided_exactly():
    first = torch.tensor([[0.6, 0.4]]).repeat(4096, 1)
    second = torch.tensor([[0.4, 0.6]]).repeat(4096, 1)
    second[0] = torch.tensor([0.39, 0.61])
    assert tally(torch.cat([first, second])).logits("majority").argmax() == 1


def test_mean_probability():
    assert tally(SAMPLES).logits("mean_probability").exp()[0].tolist() == pytest.approx([0.325, 0.3125, 0.3625])


def test_the_reproduced_vote_is_pytorchs_mode_of_distinct_scores():
    assert SAMPLES.mode(dim=0).values.tolist() == pytest.approx([0.1, 0.1, 0.1])
    distinct = torch.tensor([[0.61, 0.29, 0.10], [0.22, 0.47, 0.31], [0.15, 0.11, 0.74]])
    expected = distinct.mode(dim=0).values
    assert torch.equal(expected, distinct.amin(dim=0))
    torch.testing.assert_close(tally(distinct).logits("reproduced").exp()[0], expected.double())


@pytest.mark.parametrize("vote", VOTES)
def test_samples_may_come_in_parts(vote):
    torch.testing.assert_close(tally(SAMPLES, parts=3).logits(vote), tally(SAMPLES).logits(vote))
    assert tally(SAMPLES, parts=4).count == 4


@pytest.mark.parametrize("vote", VOTES)
def test_impossible_classes_keep_finite_scores(vote):
    logits = tally(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).logits(vote)
    assert logits.isfinite().all()
    assert logits[0, 1] <= math.log(1e-29)
