import pytest
import torch

from bgbias.data.encoded import encoded, encoded_copies, encoded_dataset
from bgbias.data.features import Encoder
from bgbias.errors import DataError
from bgbias.randomness import stream
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND, Backgrounds

mean_color = Encoder(lambda image: image.mean(dim=(2, 3)))
"""A stand-in for a backbone: the mean of every channel, [B, C]."""


@pytest.fixture(scope="module")
def digits(load):
    return load("colored-digits")


@pytest.fixture(scope="module")
def photographs(load):
    return load("imagenet9", size=32)


def test_features_are_those_of_the_composed_pictures(digits):
    variant, index = digits.test["shuffled"], torch.tensor([3, 0, 7])
    batch, pictures = encoded(variant, mean_color).batch(index), variant.batch(index)
    torch.testing.assert_close(batch.image, mean_color(pictures.image))
    for field in ("mask", "label", "background", "place"):
        assert torch.equal(getattr(batch, field), getattr(pictures, field)), field


def test_on_other_backgrounds_the_pictures_come_back(digits):
    variant, index, others = digits.test["original"], torch.tensor([3, 0]), torch.tensor([9, 5])
    assert torch.equal(encoded(variant, mean_color).batch(index, others).image, variant.batch(index, others).image)


def test_released_pictures_are_encoded_as_they_are(photographs):
    variant = photographs.test["mixed_rand"]
    batch = encoded(variant, mean_color).batch(torch.arange(5))
    torch.testing.assert_close(batch.image, mean_color(variant.batch(torch.arange(5)).image))
    assert encoded(variant, mean_color).pictured() is variant


def test_copies_are_the_same_objects_on_other_backgrounds(digits):
    copies = encoded_copies(digits.train, 3, mean_color, stream(0, "copies"))
    index = torch.tensor([10, 2])
    batch = copies.batch(index)
    assert batch.image.shape == (2, 4, 3)
    assert torch.equal(batch.background[:, 0], digits.train.assignment[index])
    for column in range(4):
        pictures = digits.train.batch(index, batch.background[:, column])
        torch.testing.assert_close(batch.image[:, column], mean_color(pictures.image))
        assert torch.equal(batch.place[:, column], pictures.place)


def test_copies_stand_on_every_class_alike(digits):
    copies = encoded_copies(digits.train, 8, mean_color, stream(0, "copies"))
    count = copies.assignment[:, 1:].flatten().bincount(minlength=10)
    expected = copies.assignment[:, 1:].numel() / 10
    assert ((count - expected).abs() < 5 * expected**0.5).all()


def test_a_photographs_own_background_is_of_its_own_class(photographs):
    batch = encoded_copies(photographs.train, 1, mean_color, stream(0, "copies")).batch(torch.arange(6))
    assert (batch.background[:, 0] == OWN_BACKGROUND).all()
    assert torch.equal(batch.place[:, 0], batch.label)


def test_every_variant_is_encoded_and_nothing_is_augmented(photographs):
    found = encoded_dataset(photographs, 2, mean_color, stream(0, "copies"))
    assert found.augmentation is None
    assert found.train.features.shape == (len(photographs.train), 3, 3)
    for split in ("validation", "test"):
        assert getattr(found, split).keys() == getattr(photographs, split).keys()


def test_features_that_are_not_finite_are_refused_with_their_number(digits):
    def broken(image):
        return mean_color(image) / (image.sum(dim=(1, 2, 3)) > 300)[:, None]

    with pytest.raises(DataError, match=r"a backbone's features must be finite, but \d+ of 300 are not: give another"):
        encoded(digits.test["removed"], Encoder(broken))


def test_places_of_assignments():
    backgrounds = Backgrounds(torch.zeros(4, 3, 1, 1), torch.tensor([2, 0, 1]), 3)
    assignment = torch.tensor([0, 2, NO_BACKGROUND, OWN_BACKGROUND])
    assert backgrounds.places_of(assignment, torch.tensor([5, 5, 5, 4])).tolist() == [2, 1, NO_BACKGROUND, 4]


def test_backgrounds_that_were_encoded_give_features(digits):
    variant, index = encoded(digits.train, mean_color), torch.tensor([3, 0])
    examples = variant.examples(index)
    assert torch.equal(examples.on(examples.background).image, variant.features[index])


def test_some_of_the_encoded_examples_keep_their_features(digits):
    variant, index = encoded(digits.test["shuffled"], mean_color), torch.tensor([5, 2, 9])
    found = variant.at(index)
    assert torch.equal(found.batch(torch.tensor([1])).image, variant.features[[2]])
    assert torch.equal(found.pictured().batch(torch.tensor([1])).image, variant.source.batch(torch.tensor([2])).image)
