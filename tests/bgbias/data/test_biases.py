from itertools import combinations

import pytest
import torch

from bgbias.config import RunConfig
from bgbias.data.datasets.colored import ColoredDigits
from bgbias.data.digits.biases import PALETTES, colored_backgrounds, ink_mask, one_pixel_backgrounds, one_pixel_mask
from bgbias.types import NO_BACKGROUND

STUDY_PALETTE = [
    (255, 0, 0), (255, 135, 0), (255, 211, 0), (255, 211, 10), (161, 211, 10),
    (10, 255, 153), (10, 239, 255), (20, 125, 245), (88, 10, 255), (190, 10, 255),
]  # fmt: skip


def test_the_reproduced_palette_is_the_study_s():
    assert list(PALETTES["reproduced"]) == STUDY_PALETTE


def test_separated_colors_differ_by_half_the_range_in_some_channel():
    colors = PALETTES["separated"]
    assert len(colors) == 10
    for one, other in combinations(colors, 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 127


def test_colored_backgrounds_are_the_palette_in_units_of_full_brightness_then_black():
    backgrounds = colored_backgrounds("reproduced")
    assert backgrounds.image.shape == (11, 3, 1, 1)
    expected = torch.tensor([*STUDY_PALETTE, (0, 0, 0)]) / 255
    torch.testing.assert_close(backgrounds.image[:, :, 0, 0], expected)
    assert backgrounds.place.tolist() == list(range(10))
    assert not backgrounds.image[NO_BACKGROUND].any()


def test_one_pixel_backgrounds_light_the_class_s_column_of_the_first_row():
    backgrounds = one_pixel_backgrounds(28, 28, 12.0)
    assert backgrounds.image.shape == (11, 1, 28, 28)
    for label in range(10):
        lit = backgrounds.image[label].nonzero().tolist()
        assert lit == [[0, 0, label]]
        assert backgrounds.image[label, 0, 0, label] == 12
    assert not backgrounds.image[NO_BACKGROUND].any()


def test_ink_is_any_pixel_above_zero():
    image = torch.tensor([[0, 1, 255], [0, 0, 7]], dtype=torch.uint8)[None, None]
    assert ink_mask(image)[0, 0].int().tolist() == [[0, 1, 1], [0, 0, 1]]


def test_one_pixel_background_is_the_first_row():
    mask = one_pixel_mask(torch.ones(2, 1, 3, 2, dtype=torch.uint8))
    assert mask.int().tolist() == [[[[0, 0], [1, 1], [1, 1]]]] * 2


def test_a_colored_training_digit_is_grey_ink_on_its_class_s_color(load):
    train = load("colored-digits").train
    for label in range(10):
        at = int((train.foregrounds.label == label).nonzero()[0])
        image = train.batch(torch.tensor([at])).image[0]
        grey = train.foregrounds.image[at, 0] / 255
        ink = grey > 0
        assert 20 < ink.sum() < 400
        for channel in range(3):
            torch.testing.assert_close(image[channel][ink], grey[ink])
            color = torch.full((int((~ink).sum()),), STUDY_PALETTE[label][channel] / 255)
            torch.testing.assert_close(image[channel][~ink], color)


def test_a_one_pixel_training_digit_has_one_lit_pixel_above_it(load):
    train = load("one-pixel-digits").train
    batch = train.batch(torch.arange(20))
    for example, label in enumerate(batch.label.tolist()):
        assert batch.image[example, 0, 0].nonzero().tolist() == [[label]]
        assert batch.image[example, 0, 0, label] == 12
        torch.testing.assert_close(batch.image[example, 0, 1:], train.foregrounds.image[example, 0, 1:] / 255)


def test_the_lit_pixel_is_as_bright_as_asked(load):
    train = load("one-pixel-digits", intensity=0.5).train
    assert train.batch(torch.tensor([0])).image[0, 0, 0].max() == 0.5


def test_training_holds_the_asked_share_of_the_bias(load):
    train = load("colored-digits", bias_strength=0.75).train
    assert len(train) == 1197
    assert (train.assignment != train.foregrounds.label).sum() == 299


@pytest.mark.parametrize("split", ["validation", "test"])
def test_removed_stands_on_black(load, split):
    variant = getattr(load("colored-digits"), split)["removed"]
    batch = variant.batch(torch.arange(len(variant)))
    paper = (~batch.mask).expand_as(batch.image)
    assert paper.any()
    assert not batch.image[paper].any()
    assert batch.background.eq(NO_BACKGROUND).all()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_does_not_depend_on_the_training_bias(load, split):
    weak, strong = (getattr(load("colored-digits", bias_strength=bias_strength), split) for bias_strength in (0.1, 1.0))
    assert list(weak) == list(strong) == ["original", "shuffled", "removed"]
    for name in weak:
        everything = torch.arange(len(weak[name]))
        assert torch.equal(weak[name].batch(everything).image, strong[name].batch(everything).image)


@pytest.mark.parametrize("name", ["colored-digits", "one-pixel-digits"])
def test_the_shuffled_variant_draws_the_last_class_or_not(load, name):
    for last_class, drawn in ((True, set(range(10))), (False, set(range(9)))):
        found = load(name, last_class=last_class)
        places = {name: found.test[name].assignment % 10 for name in ("shuffled", "original")}
        assert set(places["shuffled"].tolist()) == drawn
        assert set(places["original"].tolist()) == set(range(10))


def test_validation_and_test_are_shuffled_apart(load):
    dataset = load("colored-digits")
    assert not torch.equal(dataset.validation["shuffled"].assignment, dataset.test["shuffled"].assignment)


TEN = "0.5,0.55,0.6,0.65,0.7,0.75,0.8,0.85,0.9,1.0"


@pytest.mark.parametrize("name", ["colored-digits", "one-pixel-digits"])
def test_a_strength_for_each_class_is_the_share_of_its_training_images_on_their_own_background(load, name):
    train = load(name, bias_strength=TEN).train
    own = train.assignment == train.foregrounds.label
    shares = [own[train.foregrounds.label == number].float().mean().item() for number in range(10)]
    assert shares == pytest.approx([float(part) for part in TEN.split(",")], abs=0.005)


@pytest.mark.parametrize(("given", "checked"), [(0.9, 0.9), ("0.9", 0.9), (1, 1.0), (TEN.replace(",", ", "), TEN)])
def test_strengths_are_one_number_or_ten(given, checked):
    assert ColoredDigits(bias_strength=given).bias_strength == checked


@pytest.mark.parametrize("given", [1.5, "0.5,0.6", TEN + ",1", TEN.replace("1.0", "1.1"), "strong"])
def test_other_strengths_are_refused(given):
    with pytest.raises(ValueError, match=r"must be a number in \[0, 1\], or 10 of them with commas between"):
        ColoredDigits(bias_strength=given)


def test_a_strength_for_each_class_passes_through_the_flat_form():
    flat = {"dataset/name": "colored-digits", "method/name": "erm", "dataset/bias_strength": TEN}
    config = RunConfig.from_flat(flat)
    assert config.to_flat()["dataset/bias_strength"] == TEN
    assert RunConfig.from_flat(config.to_flat()) == config


def test_the_older_name_of_the_bias_strength_is_read():
    flat = {"dataset/name": "colored-digits", "method/name": "erm", "dataset/strength": 0.9}
    assert RunConfig.from_flat(flat).to_flat()["dataset/bias_strength"] == 0.9
