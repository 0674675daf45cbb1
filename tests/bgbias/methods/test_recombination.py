"""Objects that are turned and pasted, and smoothed labels, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from bgbias.methods.recombination import Recombination, Turns, centre_of, smoothing, turned
from bgbias.randomness import stream
from bgbias.types import OWN_BACKGROUND


def turns(scale=1.0, angle=0.0, shift=(0.0, 0.0)):
    return Turns(torch.tensor([scale]), torch.tensor([angle]), torch.tensor([shift]), None)


def square(top=2, left=2, side=4, size=12):
    mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
    mask[:, :, top : top + side, left : left + side] = True
    image = torch.rand(1, 3, size, size, generator=stream(0, "image")) * 0.5 + 0.5
    return image, mask


def test_the_centre_is_the_objects():
    _, mask = square()
    assert centre_of(mask)[0].tolist() == pytest.approx([-1 / 3, -1 / 3])
    assert centre_of(torch.zeros(1, 1, 4, 4, dtype=torch.bool))[0].tolist() == [0, 0]


def test_without_a_turn_the_object_stays():
    image, mask = square()
    found, where = turned(image, mask, turns())
    assert torch.equal(where, mask)
    torch.testing.assert_close(found, image)


def test_a_shift_moves_it_across_and_down_by_shares_of_the_side():
    image, mask = square()
    found, where = turned(image, mask, turns(shift=(0.25, 1 / 12)))
    expected = mask.roll((1, 3), dims=(2, 3))
    assert torch.equal(where, expected)
    torch.testing.assert_close(found * where, image.roll((1, 3), dims=(2, 3)) * where)


def test_twice_the_scale_is_four_times_the_area_about_its_centre():
    image, mask = square(top=4, left=4)
    _, where = turned(image, mask, turns(scale=2.0))
    expected = square(top=2, left=2, side=8)[1]
    assert torch.equal(where, expected)


def test_a_quarter_turn_turns_it_about_its_centre():
    image, mask = square(top=4, left=2)
    found, where = turned(image, mask, turns(angle=math.pi / 2))
    assert torch.equal(where, mask)
    inside = image[:, :, 4:8, 2:6]
    torch.testing.assert_close(found[:, :, 4:8, 2:6], inside.rot90(-1, dims=(2, 3)), atol=1e-5, rtol=0)


def test_smoothing_makes_the_cross_entropy_of_smoothed_labels():
    logits, label = torch.randn(5, 4, generator=stream(0, "logits")), torch.tensor([0, 1, 2, 3, 0])
    found = F.cross_entropy(logits, label, reduction="none") + smoothing(logits.log_softmax(1), label, 0.3)
    torch.testing.assert_close(found, F.cross_entropy(logits, label, reduction="none", label_smoothing=0.3))


def test_digits_keep_their_whole_background_behind_the_moved_ink(load):
    dataset = load("colored-digits")
    prepared = Recombination().prepare(dataset, stream(0, "prepare"))
    examples = prepared.training_examples(torch.arange(40), stream(0, "draws"))
    background = (examples.label + 3) % 10
    batch, again = examples.on(background), examples.on(background)
    color = dataset.train.backgrounds.image[background].expand_as(batch.image)
    behind = (~batch.mask).expand_as(batch.image)
    assert torch.equal(batch.image[behind], color[behind])
    assert torch.equal(batch.image, again.image)
    assert torch.equal(batch.place, background)
    plain = dataset.train.batch(torch.arange(40))
    ratio = batch.mask.sum(dim=(1, 2, 3)) / plain.mask.sum(dim=(1, 2, 3))
    assert ratio.min() < 0.6
    assert ratio.max() > 1.5
    assert prepared.validation == dataset.validation


def test_photographs_are_cropped_as_before_and_kept_pictures_are_not_turned(load):
    dataset = load("imagenet9", size=32)
    prepared = Recombination(scale=0.3, shift=0.0, rotation=0.0).prepare(dataset, stream(0, "prepare"))
    index = torch.arange(4)
    own = torch.full((4,), OWN_BACKGROUND)
    kept = prepared.training_examples(index, stream(0, "draws")).on(own)
    moved = prepared.training_examples(index, stream(0, "draws")).on(torch.arange(4))
    assert kept.image.shape == moved.image.shape == (4, 3, 32, 32)
    assert kept.image.min() >= 0
    assert kept.image.max() <= 1
    assert not torch.equal(kept.mask, moved.mask)
    bare = Recombination(scale=0.0, shift=0.0, rotation=0.0).prepare(dataset, stream(0, "prepare"))
    unmoved = bare.training_examples(index, stream(0, "draws"))
    torch.testing.assert_close(unmoved.on(own).image, kept.image)
    pasted = unmoved.on(torch.arange(4))
    inside = pasted.mask.expand_as(pasted.image)
    torch.testing.assert_close(pasted.image[inside], kept.image[inside], atol=1e-4, rtol=0)
